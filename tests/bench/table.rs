//! Figures as a Markdown table: one column per size of the fleet.

use super::figures::{Figure, Figures, Goal};

/// One table per scenario, to the terminal.
pub fn print(results: &[Figures]) {
    println!("{}", render(results));
}

/// One table per scenario, in the order in which they were measured.
pub fn render(results: &[Figures]) -> String {
    let mut text = String::new();
    for scenario in scenarios(results) {
        let columns: Vec<&Figures> = results.iter().filter(|figures| figures.scenario == scenario).collect();
        text.push_str(&format!("\n### {scenario}\n\n| |{}goal |\n", cells(&columns, |it| format!("N = {}", it.n))));
        text.push_str(&format!("|---|{}---|\n", "--:|".repeat(columns.len())));
        for name in names(&columns) {
            let of = |it: &&Figures| it.figures.iter().find(|figure| figure.name == name).cloned();
            let goals: Vec<Goal> = columns.iter().filter_map(of).filter_map(|figure| figure.goal).collect();
            let row = cells(&columns, |it| of(&it).map_or_else(|| "–".to_owned(), |figure| cell(&figure)));
            text.push_str(&format!("| {name} |{row} {} |\n", goal_text(&goals)));
        }
    }
    text
}

pub fn scenarios(results: &[Figures]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for figures in results {
        if !names.contains(&figures.scenario.as_str()) {
            names.push(&figures.scenario);
        }
    }
    names
}

fn names(columns: &[&Figures]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for figure in columns.iter().flat_map(|figures| &figures.figures) {
        if !names.contains(&figure.name) {
            names.push(figure.name.clone());
        }
    }
    names
}

fn cells(columns: &[&Figures], cell: impl Fn(&Figures) -> String) -> String {
    columns.iter().map(|figures| format!(" {} |", cell(figures))).collect()
}

fn cell(figure: &Figure) -> String {
    let mark = match figure.goal {
        None => "",
        Some(_) if figure.is_missed() => " **missed**",
        Some(_) => " ✓",
    };
    let space = if figure.unit.is_empty() { "" } else { " " };
    format!("{}{space}{}{mark}", number(figure.value), figure.unit)
}

/// Three digits are as exact as a measurement is. Counts are whole.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if (value - value.round()).abs() < 1e-9 || magnitude >= 1000.0 {
        return format!("{value:.0}");
    }
    let decimals = if magnitude >= 100.0 {
        0
    } else if magnitude >= 10.0 {
        1
    } else if magnitude >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.decimals$}")
}

fn goal_text(goals: &[Goal]) -> String {
    match goals {
        [] => String::new(),
        [Goal::AtMost(limit), ..] if goals.iter().all(|goal| *goal == goals[0]) => format!("≤ {}", number(*limit)),
        [Goal::AtLeast(limit), ..] => format!("≥ {}", number(*limit)),
        [Goal::Exactly(wanted), ..] if goals.iter().all(|goal| *goal == goals[0]) => number(*wanted),
        [Goal::Exactly(_), ..] => "N".to_owned(),
        [Goal::AtMost(_), ..] => "per N".to_owned(),
    }
}
