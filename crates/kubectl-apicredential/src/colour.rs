//! Colours, for a terminal only.

/// What a text means, by its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Good,
    Warning,
    Bad,
}

impl Colour {
    /// The colour of a condition's status: whether `good` is what one wants it to be.
    pub fn of_status(status: &str, good: &str) -> Self {
        match status {
            status if status == good => Self::Good,
            "True" | "False" => Self::Bad,
            _ => Self::Warning,
        }
    }
}

/// The text in that colour, by the codes that every terminal knows (ECMA-48, SGR).
pub fn paint(text: &str, colour: Option<Colour>) -> String {
    let code = match colour {
        None => return text.to_owned(),
        Some(Colour::Good) => 32,
        Some(Colour::Warning) => 33,
        Some(Colour::Bad) => 31,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
