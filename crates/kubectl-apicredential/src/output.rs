//! Writes results to standard output, and notes and errors to standard error.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};

use apicredential_operator::terminal::is_unsafe;
pub use apicredential_operator::terminal::sanitize;
use serde::Serialize;

use crate::colour::{self, Colour};
use crate::error::PluginError;

/// The formats of `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ListFormat {
    /// JSON, for programs
    Json,
    /// YAML, for programs
    Yaml,
    /// A table with more columns
    Wide,
}

/// The formats for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DocumentFormat {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Standard output and standard error of this process.
pub struct Terminal {
    colours: bool,
}

impl Terminal {
    /// Finds out whether standard output shows colours.
    pub fn detect() -> Self {
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        Self { colours: shows_colours(io::stdout().is_terminal(), &variable("NO_COLOR"), &variable("TERM")) }
    }

    /// The colour, or `None` if the terminal does not show colours.
    pub fn colour(&self, colour: Colour) -> Option<Colour> {
        self.colours.then_some(colour)
    }

    /// Writes a result. Whatever it holds, it moves no cursor and reorders no text; see [`printable`].
    pub fn print(&self, text: &str) -> Result<(), PluginError> {
        let text = printable(text);
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            // The reader, such as `head`, has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(_) => Err(PluginError::local("Standard output cannot be written; check the disk or the pipe.")),
            Ok(()) => Ok(()),
        }
    }

    /// Writes a result as JSON or YAML.
    pub fn document(&self, format: DocumentFormat, value: &impl Serialize) -> Result<(), PluginError> {
        self.print(&document(format, value)?)
    }

    /// Writes a note to standard error.
    pub fn note(&self, text: &str) {
        // An error of standard error cannot be reported anywhere.
        let _lost = writeln!(io::stderr().lock(), "{}", printable(text));
    }

    /// Writes an error to standard error.
    pub fn error(&self, text: &str) {
        self.note(&format!("error: {text}"));
    }
}

/// Colours are for terminals, unless `NO_COLOR` is set (<https://no-color.org>).
fn shows_colours(is_terminal: bool, no_color: &OsStr, term: &OsStr) -> bool {
    is_terminal && no_color.is_empty() && term != "dumb"
}

/// Serializes the value, with a newline at the end.
pub fn document(format: DocumentFormat, value: &impl Serialize) -> Result<String, PluginError> {
    let text = match format {
        DocumentFormat::Json => serde_json::to_string_pretty(value).map_err(drop),
        DocumentFormat::Yaml => serde_saphyr::to_string(value).map_err(drop),
    };
    let text = text.map_err(|()| PluginError::local("The result cannot be serialized; please report this."))?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// The text without unsafe characters, except for line breaks, tabs, and the escape codes of this program's own colours. It is
/// the last line: text from the cluster passes [`sanitize`] where it enters, so that it stays on its line, too.
fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(code) = colour::CODES.iter().find(|code| rest.starts_with(**code)) {
            safe.push_str(code);
            rest = &rest[code.len()..];
            continue;
        }
        let is_safe = matches!(character, '\n' | '\t') || !is_unsafe(character);
        safe.push(if is_safe { character } else { ' ' });
        rest = &rest[character.len_utf8()..];
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_without_no_color() {
        let shows = |is_terminal, no_color: &str, term: &str| {
            shows_colours(is_terminal, OsStr::new(no_color), OsStr::new(term))
        };
        assert!(shows(true, "", "xterm"));
        assert!(!shows(false, "", "xterm"), "a pipe or a file");
        assert!(!shows(true, "1", "xterm"));
        assert!(!shows(true, "", "dumb"));
    }

    #[test]
    fn only_line_breaks_tabs_and_our_own_colours_reach_the_terminal() {
        let painted = colour::paint("True", Some(Colour::Good));
        assert_eq!(printable(&format!("{painted}\ta\n")), format!("{painted}\ta\n"));
        assert_eq!(printable("a\u{1b}[2Jb\u{1b}]0;c\u{7}\rd\u{9b}8m\u{202e}e"), "a [2Jb ]0;c  d 8m e");
    }
}
