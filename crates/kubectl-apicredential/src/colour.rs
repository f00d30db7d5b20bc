//! Colours for terminals.

/// The meaning of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Good,
    Warning,
    Bad,
}

impl Colour {
    /// The colour of a condition's status, where `healthy` is the status of a healthy object.
    pub fn of_status(status: &str, healthy: &str) -> Self {
        match status {
            status if status == healthy => Self::Good,
            "True" | "False" => Self::Bad,
            _ => Self::Warning,
        }
    }
}

/// The escape codes (ECMA-48, SGR): good, warning, bad, and the end of a colour.
pub const CODES: [&str; 4] = ["\u{1b}[32m", "\u{1b}[33m", "\u{1b}[31m", "\u{1b}[0m"];

/// Wraps the text in the escape codes of that colour.
pub fn paint(text: &str, colour: Option<Colour>) -> String {
    let [good, warning, bad, end] = CODES;
    let code = match colour {
        None => return text.to_owned(),
        Some(Colour::Good) => good,
        Some(Colour::Warning) => warning,
        Some(Colour::Bad) => bad,
    };
    format!("{code}{text}{end}")
}
