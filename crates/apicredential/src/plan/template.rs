//! The values of `spec.target.data`: text with placeholders from a fixed list. It is no template language.

use std::fmt::Write as _;

use thiserror::Error;

/// A parsed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// A placeholder in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{token}`: the raw token.
    Token,
    /// `{tokenType}`: `Bearer`.
    TokenType,
    /// `{expiresAt}`: RFC 3339, or `never`.
    ExpiresAt,
    /// `{issuedAt}`: RFC 3339.
    IssuedAt,
    /// `{provider}`: `Welkin` or `Qontak`.
    Provider,
    /// A placeholder that the provider has, by its name, such as `endpoint`.
    OfProvider(&'static str),
}

impl Placeholder {
    fn parse(name: &str, of_provider: &[(&'static str, &str)]) -> Option<Self> {
        Some(match name {
            "token" => Self::Token,
            "tokenType" => Self::TokenType,
            "expiresAt" => Self::ExpiresAt,
            "issuedAt" => Self::IssuedAt,
            "provider" => Self::Provider,
            _ => Self::OfProvider(of_provider.iter().find(|(known, _)| *known == name)?.0),
        })
    }
}

/// Why a value is not a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A brace opens something that is not a placeholder.
    #[error(
        "unknown placeholder; known are {{token}} {{tokenType}} {{expiresAt}} {{issuedAt}} {{provider}}{of_provider}, and a literal brace is written \"{{{{\""
    )]
    UnknownPlaceholder {
        /// The placeholders that the provider has, each after a space.
        of_provider: String,
    },
    /// The value contains the token more than once.
    #[error("{{token}} may occur at most once in a value")]
    TokenTwice,
    /// The value is too long.
    #[error("a value may have at most 512 characters")]
    TooLong,
}

impl Template {
    /// Parses a value. `{{` is a literal `{`, and a `}` without an open placeholder is literal, too. `of_provider` has the
    /// placeholders of the provider and their values.
    pub fn parse(text: &str, of_provider: &[(&'static str, &str)]) -> Result<Self, TemplateError> {
        if text.chars().count() > 512 {
            return Err(TemplateError::TooLong);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            if let Some(tail) = tail.strip_prefix('{') {
                literal.push('{');
                rest = tail;
                continue;
            }
            let unknown = || {
                let names = of_provider.iter().map(|(name, _)| format!(" {{{name}}}"));
                TemplateError::UnknownPlaceholder { of_provider: names.collect() }
            };
            let (name, tail) = tail.split_once('}').ok_or_else(unknown)?;
            let placeholder = Placeholder::parse(name, of_provider).ok_or_else(unknown)?;
            parts.push(Part::Text(std::mem::take(&mut literal)));
            parts.push(Part::Placeholder(placeholder));
            rest = tail;
        }
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        let tokens = parts.iter().filter(|part| **part == Part::Placeholder(Placeholder::Token)).count();
        if tokens > 1 { Err(TemplateError::TokenTwice) } else { Ok(Self { parts }) }
    }

    /// The value, with each placeholder replaced.
    pub fn fill<'a>(&self, value: impl Fn(Placeholder) -> &'a str) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text,
                Part::Placeholder(placeholder) => value(*placeholder),
            };
            // Writing to a String cannot fail.
            let _ = filled.write_str(text);
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, TemplateError> {
        Template::parse(text, &[("endpoint", "")]).map(|template| {
            template.fill(|placeholder| match placeholder {
                Placeholder::Token => "T",
                Placeholder::TokenType => "Bearer",
                Placeholder::ExpiresAt => "never",
                Placeholder::IssuedAt => "then",
                Placeholder::Provider => "Welkin",
                Placeholder::OfProvider(name) => name,
            })
        })
    }

    #[test]
    fn placeholders_are_filled_in() {
        assert_eq!(filled("{tokenType} {token}").unwrap(), "Bearer T");
        assert_eq!(filled("{expiresAt}{issuedAt}{provider}{endpoint}").unwrap(), "neverthenWelkinendpoint");
        assert_eq!(filled("").unwrap(), "");
    }

    #[test]
    fn two_opening_braces_and_a_lone_closing_one_are_literal() {
        assert_eq!(filled("{{token}").unwrap(), "{token}");
        assert_eq!(filled("{\"a\"}".replace('{', "{{").as_str()).unwrap(), "{\"a\"}");
        assert_eq!(filled("a}b{{{token}}").unwrap(), "a}b{T}");
    }

    #[test]
    fn anything_else_in_braces_is_an_error() {
        for text in ["{tenant}", "{Token}", "{", "{token", "{ token }", "{}"] {
            assert!(matches!(filled(text).unwrap_err(), TemplateError::UnknownPlaceholder { .. }), "{text}");
        }
        assert_eq!(filled("{token}{token}").unwrap_err(), TemplateError::TokenTwice);
        assert_eq!(filled(&"x".repeat(513)).unwrap_err(), TemplateError::TooLong);
    }
}
