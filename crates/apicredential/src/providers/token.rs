//! The token: an RFC 6750 section 2.1 `b64token`, and the claims of a JWT, which are used for scheduling only.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::json::Fields;
use crate::reason::Reason;

/// The only supported token type (RFC 6750).
pub const TOKEN_TYPE: &str = "Bearer";

/// The largest accepted token, in bytes. Tokens in use are far smaller (Welkin's are about 1.1 kB), and a Secret can hold
/// far more.
const MAX_TOKEN: usize = 16 * 1024;

/// RFC 7515 omits the padding, but some issuers add it.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Parses the token in the field of that name: `InvalidResponse` if the field is absent, `InvalidToken` if its value is
/// not a token.
pub(super) fn parse(fields: &Fields<'_>, name: &str) -> Result<SecretString, Reason> {
    let raw = fields.raw(name).ok_or(Reason::InvalidResponse)?;
    let token: Zeroizing<String> =
        serde_json::from_str(raw.get()).map(Zeroizing::new).map_err(|_| Reason::InvalidToken)?;
    if is_b64token(&token) { Ok(SecretString::from(token.as_str())) } else { Err(Reason::InvalidToken) }
}

/// Checks that `token_type` is absent or `Bearer`. It is case-insensitive (RFC 6749 section 5.1).
pub(super) fn require_bearer(fields: &Fields<'_>) -> Result<(), Reason> {
    match fields.text("token_type").map_err(|_| Reason::UnsupportedTokenType)? {
        Some(kind) if !kind.eq_ignore_ascii_case(TOKEN_TYPE) => Err(Reason::UnsupportedTokenType),
        _ => Ok(()),
    }
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(text: &str) -> bool {
    let stem = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    text.len() <= MAX_TOKEN && !stem.is_empty() && stem.bytes().all(allowed)
}

/// The claims of a signed JWT as JSON text. `None` if the token is not a signed JWT.
pub(super) fn claims(token: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
    let mut parts = token.expose_secret().split('.');
    let (Some(_header), Some(payload), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = BASE64URL.decode(payload).map(Zeroizing::new).ok()?;
    serde_json::from_slice::<&serde_json::value::RawValue>(&claims).ok()?;
    claims.trim_ascii_start().starts_with(b"{").then_some(claims)
}
