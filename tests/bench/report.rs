//! Writes `docs/performance.md` between its markers, and the data and the plots next to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use apicredential_operator::clock;

use super::figures::{Figures, Goal};
use super::fit::{self, growth};
use super::machine;
use super::plot::{Chart, Series};
use super::settings::Settings;
use super::table;

const BEGIN: &str = "<!-- measured: written by `make bench`; do not edit -->";
const END: &str = "<!-- end of what was measured -->";

/// The planned and the written times of a herd, in seconds after the issue.
pub type Herd = Vec<[f64; 2]>;

pub fn write(results: &[Figures], herd: &Herd, settings: &Settings) {
    let docs = settings.docs.clone();
    let data = docs.join("performance");
    fs::create_dir_all(&data).expect("the folder for data can be made");
    put(&data.join("figures.csv"), &csv(results));
    let mut charts = growth_charts(results);
    if !herd.is_empty() {
        put(&data.join("herd.csv"), &herd_csv(herd));
        charts.push(("herd".to_owned(), herd_chart(herd)));
    }
    let mut plots = String::new();
    for (name, chart) in &charts {
        if let Some(svg) = chart.to_svg() {
            put(&data.join(format!("{name}.svg")), &svg);
            plots.push_str(&format!("![{}](performance/{name}.svg)\n", chart.title));
        }
    }
    let measured = format!(
        "{BEGIN}\n\n{}\n{}\n{}\nThe data: [figures.csv](performance/figures.csv).\n\n{plots}\n{END}",
        provenance(settings),
        table::render(results),
        growth_table(results),
    );
    put(&docs.join("performance.md"), &replaced(&docs.join("performance.md"), &measured));
}

/// The text around the markers is written manually, and is kept.
fn replaced(page: &Path, measured: &str) -> String {
    let old = fs::read_to_string(page).unwrap_or_default();
    match (old.find(BEGIN), old.find(END)) {
        (Some(from), Some(to)) => format!("{}{measured}{}", &old[..from], &old[to + END.len()..]),
        _ => format!("# Performance\n\n{measured}\n"),
    }
}

fn provenance(settings: &Settings) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed =
        if git(&["status", "--porcelain", "--untracked-files=no", "src"]).is_empty() { "" } else { ", changed since" };
    format!(
        "| | |\n|---|---|\n| machine | {} |\n| date | {} |\n| commit | {}{changed} |\n| command | `{}` |\n",
        machine::description(),
        clock::now_seconds().strftime("%Y-%m-%d"),
        git(&["rev-parse", "--short", "HEAD"]),
        settings.command(),
    )
}

fn csv(results: &[Figures]) -> String {
    let mut text = "scenario,n,figure,value,unit,goal,met\n".to_owned();
    for figures in results {
        for figure in &figures.figures {
            let goal = match figure.goal {
                None => String::new(),
                Some(Goal::AtMost(limit)) => format!("<= {limit}"),
                Some(Goal::AtLeast(limit)) => format!(">= {limit}"),
                Some(Goal::Exactly(wanted)) => format!("{wanted}"),
            };
            let met = figure.goal.map_or("", |_| if figure.is_missed() { "no" } else { "yes" });
            let (scenario, name) = (quoted(&figures.scenario), quoted(&figure.name));
            text.push_str(&format!("{scenario},{},{name},{},{},{goal},{met}\n", figures.n, figure.value, figure.unit));
        }
    }
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn growth_table(results: &[Figures]) -> String {
    let growth = growth(results);
    if growth.is_empty() {
        return String::new();
    }
    let mut text =
        "\n## How cost grows\n\nThe exponent of N that fits best (1 is linear), over all sizes and between the \
                    two largest.\n\n| | over all | at the end | at most linear |\n|---|--:|--:|---|\n"
            .to_owned();
    for growth in growth {
        // The variation of a repeated measurement.
        let mark = if growth.last <= 1.1 { "✓" } else { "**no**" };
        let (all, last) = (growth.exponent, growth.last);
        text.push_str(&format!("| {}: {} | {all:.2} | {last:.2} | {mark} |\n", growth.scenario, growth.figure));
    }
    text
}

fn growth_charts(results: &[Figures]) -> Vec<(String, Chart)> {
    let chart = |title: &str, y: &str, lines: &[(&str, &str, &str)]| Chart {
        title: title.to_owned(),
        x: "ApiCredentials".to_owned(),
        y: y.to_owned(),
        is_logarithmic: true,
        lines: lines
            .iter()
            .map(|(name, scenario, figure)| Series {
                name: (*name).to_owned(),
                points: fit::points(results, scenario, figure),
            })
            .collect(),
    };
    let cold = "cold, provider latency 0 ms";
    vec![
        (
            "time".to_owned(),
            chart(
                "Time against the size of the fleet",
                "s",
                &[
                    ("cold: all Ready", cold, "time to all Ready"),
                    ("cold: the ceiling", cold, "ceiling's time"),
                    ("restart: settled", "restart", "time to settle"),
                    ("restart: lists alone", "restart", "time of the lists alone"),
                ],
            ),
        ),
        (
            "memory".to_owned(),
            chart(
                "Memory against the size of the fleet",
                "MiB",
                &[
                    ("cold: peak", cold, "peak memory"),
                    ("cold: settled", cold, "settled memory"),
                    ("restart: settled", "restart", "settled memory"),
                ],
            ),
        ),
        (
            "cpu".to_owned(),
            chart(
                "CPU against the size of the fleet",
                "s",
                &[
                    ("cold: ours", cold, "CPU of all first syncs"),
                    ("cold: the ceiling", cold, "ceiling's CPU"),
                    ("restart", "restart", "CPU until settled"),
                ],
            ),
        ),
    ]
}

/// The number of values in each second.
fn herd_counts(herd: &Herd, column: usize) -> Vec<(f64, f64)> {
    let first = herd.iter().flatten().copied().fold(f64::MAX, f64::min).floor() as usize;
    let last = herd.iter().flatten().copied().fold(0.0, f64::max) as usize;
    let mut counts = vec![0_usize; last - first + 1];
    for pair in herd {
        counts[pair[column] as usize - first] += 1;
    }
    counts.iter().enumerate().map(|(second, count)| ((first + second) as f64, *count as f64)).collect()
}

fn herd_csv(herd: &Herd) -> String {
    let rows = herd_counts(herd, 0).into_iter().zip(herd_counts(herd, 1));
    rows.fold("second,planned,written\n".to_owned(), |text, (planned, written)| {
        format!("{text}{},{},{}\n", planned.0, planned.1, written.1)
    })
}

fn herd_chart(herd: &Herd) -> Chart {
    let lines = [("planned", 0), ("written", 1)];
    let lines = lines.map(|(name, column)| Series { name: name.to_owned(), points: herd_counts(herd, column) });
    Chart {
        title: format!("{} tokens of one issue time: renewals in each second", herd.len()),
        x: "seconds after the issue".to_owned(),
        y: "renewals".to_owned(),
        is_logarithmic: false,
        lines: lines.into(),
    }
}

fn put(path: &PathBuf, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
