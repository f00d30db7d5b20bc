//! Prints the result: the properties of the token for users, or the token for programs.

use crate::provider_client::TokenCheck;
use apicredential::providers::{Issued, Lifetime, ProviderRequest};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;
use serde_json::json;

use super::flags::Output;

/// The default of `spec.renewal.assumedLifetime`, in seconds.
pub(super) const ASSUMED_LIFETIME: i64 = 3600;

/// The text for standard output. `check` is the result of `--check`.
pub(super) fn issued(
    output: Option<Output>,
    request: &ProviderRequest,
    issued: &Issued,
    check: Option<&TokenCheck>,
) -> Zeroizing<String> {
    let token = issued.token.expose_secret();
    Zeroizing::new(match output {
        None => for_users(request, issued, check),
        Some(Output::Token) => format!("{token}\n"),
        Some(Output::Header) => format!("Authorization: {} {token}\n", issued.token_type),
        Some(Output::Json) => as_json(request, issued),
        Some(Output::Env) => as_env(request, issued),
    })
}

fn for_users(request: &ProviderRequest, issued: &Issued, check: Option<&TokenCheck>) -> String {
    let check = match check {
        None => "",
        Some(TokenCheck::Accepted) => "Check:       accepted\n",
        Some(TokenCheck::Revoked) => "Check:       not accepted\n",
        Some(TokenCheck::Unavailable(_)) => "Check:       inconclusive\n",
    };
    let lifetime = match issued.lifetime {
        Lifetime::Until(time) => human(time.as_second() - issued.issued_at.as_second()),
        Lifetime::Never => "without end".to_owned(),
        Lifetime::Unstated => {
            format!(
                "not stated; an ApiCredential would assume {}, see spec.renewal.assumedLifetime",
                human(ASSUMED_LIFETIME)
            )
        }
    };
    format!(
        "Provider:    {}\nEndpoint:    {}\nIssued:      {}\nExpires:     {}\nLifetime:    {lifetime}\nToken type:  {}\n{check}",
        request.provider(),
        request.endpoint(),
        issued.issued_at,
        expires(&issued.lifetime),
        issued.token_type,
    )
}

/// The fields have the names of `status.token`. If there is no expiry, `expirationTime` and `lifetimeSeconds` are null and
/// `expires` is `never` or `unknown`.
fn as_json(request: &ProviderRequest, issued: &Issued) -> String {
    let end = end(&issued.lifetime);
    let object = json!({
        "provider": request.provider().as_str(),
        "endpoint": request.endpoint().as_str(),
        "issuedTime": issued.issued_at.to_string(),
        "expirationTime": end.map(|time| time.to_string()),
        "lifetimeSeconds": end.map(|time| time.as_second() - issued.issued_at.as_second()),
        "expires": expires(&issued.lifetime),
        "type": issued.token_type,
        "token": issued.token.expose_secret(),
    });
    format!("{object}\n")
}

/// No value needs quotes: a token consists of the characters of RFC 6750's b64token.
fn as_env(request: &ProviderRequest, issued: &Issued) -> String {
    let name = request.provider().as_str().to_ascii_uppercase();
    format!(
        "{name}_TOKEN={}\n{name}_TOKEN_TYPE={}\n{name}_TOKEN_ISSUED_AT={}\n{name}_TOKEN_EXPIRES_AT={}\n",
        issued.token.expose_secret(),
        issued.token_type,
        issued.issued_at,
        expires(&issued.lifetime),
    )
}

fn end(lifetime: &Lifetime) -> Option<Timestamp> {
    match lifetime {
        Lifetime::Until(time) => Some(*time),
        Lifetime::Never | Lifetime::Unstated => None,
    }
}

fn expires(lifetime: &Lifetime) -> String {
    match lifetime {
        Lifetime::Until(time) => time.to_string(),
        Lifetime::Never => "never".to_owned(),
        Lifetime::Unstated => "unknown".to_owned(),
    }
}

/// `345d 4h 25m 18s`, without the parts that are zero.
fn human(seconds: i64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let parts: Vec<String> =
        parts.iter().filter(|(number, _)| *number != 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_without_the_parts_that_are_zero() {
        let written = [0, 59, 60, 3600, 3601, 86_400, 29_823_918].map(human);
        assert_eq!(written, ["0s", "59s", "1m", "1h", "1h 1s", "1d", "345d 4h 25m 18s"]);
    }
}
