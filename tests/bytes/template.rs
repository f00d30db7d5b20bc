//! A value of `spec.target.data`: the text as it is.

use apicredential::plan::template::{Placeholder, Template};

const NAMES: [(&str, Placeholder); 8] = [
    ("{token}", Placeholder::Token),
    ("{tokenType}", Placeholder::TokenType),
    ("{expiresAt}", Placeholder::ExpiresAt),
    ("{issuedAt}", Placeholder::IssuedAt),
    ("{provider}", Placeholder::Provider),
    ("{endpoint}", Placeholder::OfProvider("endpoint")),
    ("{tenant}", Placeholder::OfProvider("tenant")),
    ("{clientName}", Placeholder::OfProvider("clientName")),
];
const OF_PROVIDER: [(&str, &str); 3] = [("endpoint", ""), ("tenant", ""), ("clientName", "")];

/// A text is accepted iff the CRD's rules accept it. The rendered text has the token where the template has `{token}`,
/// and everything else unchanged: the template can be restored from it.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(template) = Template::parse(text, &OF_PROVIDER) else {
        return assert!(!is_template(text), "{text:?} is refused");
    };
    assert!(is_template(text), "{text:?} is taken");
    let marks = marks(text);
    let filled = template.fill(|placeholder| {
        let number = NAMES.iter().position(|(_, known)| *known == placeholder).expect("a known placeholder");
        &marks[number]
    });
    let mut again = filled.replace('{', "{{");
    for ((name, _), mark) in NAMES.iter().zip(&marks) {
        again = again.replace(mark, name);
    }
    assert_eq!(again, text, "filled: {filled:?}");
    let token = &marks[0];
    let wanted = text.replace("{{", "").matches("{token}").count();
    assert_eq!(filled.matches(token.as_str()).count(), wanted, "{filled:?}");
}

/// The CRD's rules, implemented manually: `^([^{]|[{][{]|[{](token|…|clientName)[}])*$`, the token at most once, at
/// most 512 characters.
fn is_template(text: &str) -> bool {
    let (mut rest, mut tokens) = (text, 0);
    while let Some(first) = rest.chars().next() {
        let name = NAMES.iter().map(|(name, _)| *name).find(|name| rest.starts_with(name));
        let length = match (first, name) {
            ('{', _) if rest.starts_with("{{") => 2,
            ('{', Some(name)) => name.len(),
            ('{', None) => return false,
            (other, _) => other.len_utf8(),
        };
        tokens += usize::from(name == Some("{token}") && length > 2);
        rest = &rest[length..];
    }
    tokens <= 1 && text.chars().count() <= 512
}

/// Five characters that are not in the text.
fn marks(text: &str) -> Vec<String> {
    ('\u{e000}'..).filter(|mark| !text.contains(*mark)).take(NAMES.len()).map(String::from).collect()
}
