//! The one writer: results to standard output, everything else to standard error.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::colour::Colour;
use crate::error::PluginError;

/// What the result looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ListFormat {
    /// For programs
    Json,
    /// For programs
    Yaml,
    /// For people, with more columns
    Wide,
}

/// What a program may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DocumentFormat {
    /// One document
    Json,
    /// One document
    Yaml,
}

/// Where the results go.
pub struct Terminal {
    colours: bool,
}

impl Terminal {
    /// Standard output as this process has it.
    pub fn detect() -> Self {
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        Self { colours: shows_colours(io::stdout().is_terminal(), &variable("NO_COLOR"), &variable("TERM")) }
    }

    /// The colour, if this terminal shows any.
    pub fn colour(&self, colour: Colour) -> Option<Colour> {
        self.colours.then_some(colour)
    }

    /// A result.
    pub fn print(&self, text: &str) -> Result<(), PluginError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(_) => Err(PluginError::local("standard output cannot be written to")),
            Ok(()) => Ok(()),
        }
    }

    /// A result for a program.
    pub fn document(&self, format: DocumentFormat, value: &impl Serialize) -> Result<(), PluginError> {
        self.print(&document(format, value)?)
    }

    /// A word beside the result.
    pub fn note(&self, text: &str) {
        // Nobody is there to be told.
        let _lost = writeln!(io::stderr().lock(), "{text}");
    }

    /// Why there is no result.
    pub fn error(&self, text: &str) {
        self.note(&format!("error: {text}"));
    }
}

/// Only where somebody looks on who has not refused them (<https://no-color.org>).
fn shows_colours(is_terminal: bool, no_color: &OsStr, term: &OsStr) -> bool {
    is_terminal && no_color.is_empty() && term != "dumb"
}

/// As JSON or YAML, with a line break at the end.
pub fn document(format: DocumentFormat, value: &impl Serialize) -> Result<String, PluginError> {
    let text = match format {
        DocumentFormat::Json => serde_json::to_string_pretty(value).map_err(drop),
        DocumentFormat::Yaml => serde_saphyr::to_string(value).map_err(drop),
    };
    let text = text.map_err(|()| PluginError::local("the result cannot be written as a document"))?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// Text of somebody else, such as the note of an event, as one line that cannot move the cursor.
pub fn sanitize(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_user_has_not_refused_them() {
        let shows = |is_terminal, no_color: &str, term: &str| {
            shows_colours(is_terminal, OsStr::new(no_color), OsStr::new(term))
        };
        assert!(shows(true, "", "xterm"));
        assert!(!shows(false, "", "xterm"), "a pipe or a file");
        assert!(!shows(true, "1", "xterm"));
        assert!(!shows(true, "", "dumb"));
    }

    #[test]
    fn text_of_somebody_else_cannot_move_the_cursor() {
        assert_eq!(sanitize("a\u{1b}[2Jb\nc\rd\u{9b}"), "a [2Jb c d ");
    }
}
