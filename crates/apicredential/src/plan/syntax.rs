//! The syntax that Kubernetes requires of names, keys, labels and annotations. The API server has checked it with the
//! rules of the CRD. It is checked again here, so that no name changes the path of a request, and no token is requested
//! that could not be written.
//!
//! A refusal names the field and not the text, which may have any length.

use crate::reason::Refusal;

/// The longest DNS subdomain, and the longest key of a Secret.
const LONGEST: usize = 253;
/// The longest name without its prefix, and the longest value of a label.
const LONGEST_LABEL: usize = 63;

/// Checks the name of a Secret: a DNS subdomain.
pub fn check_name(text: &str, field: &str) -> Result<(), Refusal> {
    if is_subdomain(text) {
        return Ok(());
    }
    Err(Refusal::invalid_spec(format!(
        "{field} must be a Secret's name: lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part."
    )))
}

/// Checks a key of a Secret.
pub fn check_key(text: &str, field: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let dots = text == "." || text.starts_with("..");
    if (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed) && !dots {
        return Ok(());
    }
    Err(Refusal::invalid_spec(format!(
        "{field} must be a key of a Secret: letters, digits, '-', '_' and '.', but not '.' alone and no '..' in front."
    )))
}

/// Checks the name and the value of a label.
pub fn check_label(name: &str, value: &str) -> Result<(), Refusal> {
    if is_qualified(name) && (value.is_empty() || is_word(value)) {
        return Ok(());
    }
    Err(Refusal::invalid_spec(
        "spec.target.metadata.labels must have label names and label values, such as example.com/team: care.",
    ))
}

/// Checks the name of an annotation. Its case does not matter, as at the API server.
pub fn check_annotation(name: &str) -> Result<(), Refusal> {
    if is_qualified(&name.to_ascii_lowercase()) {
        return Ok(());
    }
    Err(Refusal::invalid_spec("spec.target.metadata.annotations must have annotation names, such as example.com/team."))
}

fn is_subdomain(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &[u8]| {
        part.first().is_some_and(plain)
            && part.last().is_some_and(plain)
            && part.iter().all(|byte| plain(byte) || *byte == b'-')
    };
    text.len() <= LONGEST && text.split('.').all(|part| is_part(part.as_bytes()))
}

fn is_qualified(name: &str) -> bool {
    match name.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_word(name),
        None => is_word(name),
    }
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= LONGEST_LABEL
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_name_is_a_dns_subdomain_and_never_a_path() {
        for name in ["a", "a-1.b", &"x".repeat(253)] {
            assert!(check_name(name, "f").is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "../b", "a?b", "A", "a_b", "-a", "a.", "a..b", "\u{e9}", &"x".repeat(254)] {
            assert!(check_name(name, "f").is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_key_has_no_comma_that_would_split_the_list_of_keys() {
        for key in ["token", ".dockerconfigjson", "A_b-c.d", &"x".repeat(253)] {
            assert!(check_key(key, "f").is_ok(), "{key}");
        }
        for key in ["", ".", "..", "..a", "a,b", "a/b", "a b", "\u{e9}", &"x".repeat(254)] {
            assert!(check_key(key, "f").is_err(), "{key:?}");
        }
    }

    #[test]
    fn labels_and_annotations_are_what_the_api_server_accepts() {
        for (name, value) in [("team", ""), ("example.com/Team", "Care_1"), (&"x".repeat(63), "a")] {
            assert!(check_label(name, value).is_ok(), "{name}: {value}");
        }
        for (name, value) in [("", ""), ("a,b", ""), ("Example.com/a", ""), ("a/b/c", ""), ("a", "-"), ("a", "a b")] {
            assert!(check_label(name, value).is_err(), "{name}: {value}");
        }
        assert!(check_label(&"x".repeat(64), "").is_err());
        assert!(check_annotation("Example.com/a").is_ok());
        assert!(check_annotation("a b").is_err());
    }
}
