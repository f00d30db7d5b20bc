//! Characters at the ends of a value that nobody sees: white space, control characters and characters without width.
//!
//! A login never begins or ends with one of them. They come from an editor, a web page or a shell, and a provider reports
//! them as a wrong password.

/// What is at an end of the text and cannot be seen, such as "ends with a newline (U+000A)". `None` if both ends can be
/// seen.
pub(super) fn invisible_end(text: &str) -> Option<String> {
    let at = |verb: &str, character: Option<char>| {
        character.and_then(|character| {
            let name = invisible(character)?;
            Some(format!("{verb} with {name} (U+{:04X})", u32::from(character)))
        })
    };
    at("begins", text.chars().next()).or_else(|| at("ends", text.chars().next_back()))
}

/// What to call the character, if it cannot be seen.
fn invisible(character: char) -> Option<&'static str> {
    Some(match character {
        '\0' => "a NUL character",
        '\t' => "a tab",
        '\n' => "a newline",
        '\u{b}' => "a vertical tab",
        '\u{c}' => "a form feed",
        '\r' => "a carriage return",
        ' ' => "a space",
        '\u{a0}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{2060}' => "a word joiner",
        '\u{feff}' => "a byte order mark",
        character if character.is_whitespace() => "white space",
        character if character.is_control() => "a control character",
        // Marks of direction, invisible operators and other format characters without width.
        '\u{61c}' | '\u{180e}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2061}'..='\u{206f}' => {
            "a character without width"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_cannot_be_seen_is_named_and_the_middle_may_hold_anything() {
        for (character, name) in [
            ('\u{feff}', "a byte order mark (U+FEFF)"),
            ('\u{a0}', "a no-break space (U+00A0)"),
            ('\u{200b}', "a zero-width space (U+200B)"),
            ('\u{200d}', "a zero-width joiner (U+200D)"),
            ('\u{2060}', "a word joiner (U+2060)"),
            ('\0', "a NUL character (U+0000)"),
            ('\u{b}', "a vertical tab (U+000B)"),
            ('\n', "a newline (U+000A)"),
            (' ', "a space (U+0020)"),
            ('\u{85}', "white space (U+0085)"),
            ('\u{2003}', "white space (U+2003)"),
            ('\u{3000}', "white space (U+3000)"),
            ('\u{1b}', "a control character (U+001B)"),
            ('\u{7f}', "a control character (U+007F)"),
            ('\u{9f}', "a control character (U+009F)"),
            ('\u{202e}', "a character without width (U+202E)"),
        ] {
            assert_eq!(invisible_end(&format!("{character}login")).unwrap(), format!("begins with {name}"));
            assert_eq!(invisible_end(&format!("login{character}")).unwrap(), format!("ends with {name}"));
            assert_eq!(invisible_end(&character.to_string()).unwrap(), format!("begins with {name}"));
            assert_eq!(invisible_end(&format!("log{character}in")), None, "{name}");
        }
        for text in ["login", "pass word", "\u{fc}ber", "\u{2764}\u{fe0f}", "-", "\u{1f511}"] {
            assert_eq!(invisible_end(text), None, "{text}");
        }
    }
}
