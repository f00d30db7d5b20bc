//! What holds for any bytes: one plain function for each kind of input, which panics where it does not.
//!
//! Three callers share them: random inputs and the kept corpus in `main.rs`, and the coverage-guided search in `fuzz/`,
//! whose library this file is. The inputs are text wherever text can say it, so that a kept one can be read.

pub mod answer;
pub mod lifetime;
pub mod look;
pub mod pause;
pub mod template;
pub mod url;

/// Panics if it does not hold for the input.
pub type Property = fn(&[u8]);

/// Every property by its name, which is also that of its folder in `fuzz/corpus`.
pub const ALL: [(&str, Property); 6] = [
    ("answer", answer::check),
    ("lifetime", lifetime::check),
    ("look", look::check),
    ("pause", pause::check),
    ("template", template::check),
    ("url", url::check),
];

/// The first line, and what follows it.
fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}

/// The words of a line of text.
fn words(line: &[u8]) -> Vec<&str> {
    std::str::from_utf8(line).unwrap_or_default().split_whitespace().collect()
}
