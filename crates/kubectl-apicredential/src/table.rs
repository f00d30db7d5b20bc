//! Tables whose columns are as wide as their longest cell.

use crate::colour::{Colour, paint};
use crate::output::sanitize;

/// A cell, and its colour on a terminal with colours. Its text can come from the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    pub fn coloured(text: impl Into<String>, colour: Option<Colour>) -> Self {
        Self { text: sanitize(&text.into()), colour }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::coloured(text, None)
    }
}

/// Columns are separated by three spaces. An empty cell is shown as a hyphen, so that tools such as awk can count columns.
pub fn table(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let head: Vec<Cell> = headings.iter().map(|heading| Cell::from(*heading)).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let widths: Vec<usize> =
        (0..headings.len()).map(|column| lines().map(|line| width(line, column)).max().unwrap_or(0)).collect();
    lines().map(|line| line_text(line, &widths)).collect()
}

fn shown(line: &[Cell], column: usize) -> &str {
    line.get(column).map(|cell| cell.text.as_str()).filter(|text| !text.is_empty()).unwrap_or("-")
}

fn width(line: &[Cell], column: usize) -> usize {
    shown(line, column).chars().count()
}

fn line_text(line: &[Cell], widths: &[usize]) -> String {
    let mut text = String::new();
    let mut padding = 0;
    for (column, wide) in widths.iter().enumerate() {
        text.push_str(&" ".repeat(padding));
        let colour = line.get(column).and_then(|cell| cell.colour);
        text.push_str(&paint(shown(line, column), colour));
        padding = wide - width(line, column) + 3;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_spaces() {
        let rows = [vec!["long name".into(), "".into()], vec!["ä".into(), "True".into(), "x".into()]];
        assert_eq!(
            table(&["NAME", "READY", "MORE"], &rows),
            "NAME        READY   MORE\nlong name   -       -\nä           True    x\n"
        );
    }

    #[test]
    fn a_cell_from_the_cluster_stays_a_cell() {
        let rows = [vec!["a\nb   True\u{1b}[8m".into()]];
        assert_eq!(table(&["NAME"], &rows), "NAME\na b   True [8m\n");
    }

    #[test]
    fn a_colour_does_not_count_as_width() {
        let rows = [vec![Cell::coloured("True", Some(Colour::Good)), "a".into()], vec!["False".into(), "b".into()]];
        assert_eq!(table(&["READY", "X"], &rows), "READY   X\n\u{1b}[32mTrue\u{1b}[0m    a\nFalse   b\n");
    }
}
