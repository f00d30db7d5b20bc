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

/// Wraps the text in the escape codes of that colour (ECMA-48, SGR).
pub fn paint(text: &str, colour: Option<Colour>) -> String {
    let code = match colour {
        None => return text.to_owned(),
        Some(Colour::Good) => 32,
        Some(Colour::Warning) => 33,
        Some(Colour::Bad) => 31,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
