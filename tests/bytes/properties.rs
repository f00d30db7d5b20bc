//! Properties that hold for any bytes: one plain function for each kind of input, which panics where it does not.
//!
//! Three callers share them: random inputs and the kept corpus in `main.rs`, and the coverage-guided search in `fuzz/`,
//! whose library this file is. The inputs are text where possible, so that a kept one can be read.

pub mod backoff;
pub mod lifetime;
pub mod reconcile;
pub mod response;
pub mod template;
pub mod url;

/// Panics if the property does not hold for the input.
pub type Property = fn(&[u8]);

/// Every property by its name, which is also that of its folder in `fuzz/corpus`.
pub const ALL: [(&str, Property); 6] = [
    ("response", response::check),
    ("lifetime", lifetime::check),
    ("reconcile", reconcile::check),
    ("backoff", backoff::check),
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
