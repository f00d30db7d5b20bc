//! Text that this program did not write itself, made safe for a terminal.

/// Replaces each character that moves the cursor, starts an escape sequence, reorders or hides text by a space. So text from
/// the cluster, such as the message of a condition or the name of a key, stays on its line and looks as it is.
pub fn sanitize(text: &str) -> String {
    text.chars().map(|character| if is_unsafe(character) { ' ' } else { character }).collect()
}

/// Control characters (C0, DEL and C1), line and paragraph separators, and the characters of Unicode that are invisible or
/// change the direction of text (TR36, "Bidirectional Text Spoofing").
pub fn is_unsafe(character: char) -> bool {
    let invisible = matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    character.is_control() || invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_move_the_cursor_start_an_escape_sequence_or_reorder_or_hide_text() {
        assert_eq!(sanitize("a\u{1b}[2Jb\nc\rd\u{9b}e\u{7f}f\tg"), "a [2Jb c d e f g");
        assert_eq!(sanitize("\u{202e}nekot\u{202c} \u{2066}x\u{2069}\u{200f}\u{61c}"), " nekot   x   ");
        assert_eq!(sanitize("a\u{2028}b\u{2029}c\u{feff}d\u{200b}e\u{e0041}f"), "a b c d e f");
        assert_eq!(sanitize("Größe: 5 €, 日本語, 🙂"), "Größe: 5 €, 日本語, 🙂");
    }
}
