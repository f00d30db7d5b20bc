//! The fingerprint `v1:<hex>` of a stored token: what it was issued for, and when.
//!
//! It is an HMAC-SHA-256 over length-prefixed fields. The key is the token, so a changed token shows as well as a changed
//! expiry. No value of the login is in it: whoever may read the target Secret could test guesses of the login against it.

use ring::hmac;

use crate::plan::Plan;

/// The version of this encoding. A later release must still verify it.
const VERSION: &str = "v1";

/// What a stored token was issued for: the provider, the endpoint, the client, the source Secret with its keys, and the
/// times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a token that was issued for this plan, with these times.
    pub fn new(token: &str, plan: &Plan, issued_at: &str, expires_at: &str) -> Self {
        let mut fields = plan.request.identity();
        fields.extend([plan.source.as_str(), issued_at, expires_at]);
        fields.extend(plan.request.source_keys().into_iter().flat_map(|key| [key.value(), key.name.as_str()]));
        Self(hex(&mac(token.as_bytes(), VERSION, &fields)))
    }

    /// Parses the annotation. `None` if its version is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, hex) = text.split_once(':')?;
        (version == VERSION).then(|| Self(hex.to_owned()))
    }

    /// The value of the annotation.
    pub fn to_text(&self) -> String {
        format!("{VERSION}:{}", self.0)
    }
}

/// An HMAC-SHA-256.
pub type Mac = [u8; 32];

/// HMAC-SHA-256 over a domain and fields, each with its length before it.
pub fn mac(key: &[u8], domain: &str, fields: &[&str]) -> Mac {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for field in std::iter::once(&domain).chain(fields) {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field.as_bytes());
    }
    let mut mac = Mac::default();
    mac.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    mac
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::AllowLists;

    fn plan(provider: &Value) -> Plan {
        let spec = json!({"provider": provider, "target": {"name": "token"}});
        Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default()).unwrap()
    }

    fn welkin(tenant: &str, source: &str, key: &str) -> Plan {
        plan(&json!({"type": "Welkin", "welkin": {
            "tenant": tenant, "clientName": "client", "secretRef": {"name": source}, "keys": {"secret": key},
        }}))
    }

    fn qontak(keys: &Value) -> Plan {
        plan(&json!({"type": "Qontak", "qontak": {"secretRef": {"name": "login"}, "keys": keys}}))
    }

    #[test]
    fn a_fingerprint_shows_every_change() {
        let spec = welkin("gh", "login", "secret");
        let print = Fingerprint::new("token", &spec, "a", "b");
        assert_eq!(Fingerprint::parse(&print.to_text()), Some(print.clone()));
        assert_eq!(Fingerprint::new("token", &welkin("gh", "login", "secret"), "a", "b"), print);
        for other in [
            Fingerprint::new("other", &spec, "a", "b"),
            Fingerprint::new("token", &spec, "b", "b"),
            Fingerprint::new("token", &spec, "a", "c"),
            Fingerprint::new("token", &welkin("hg", "login", "secret"), "a", "b"),
            Fingerprint::new("token", &welkin("gh", "other", "secret"), "a", "b"),
            Fingerprint::new("token", &welkin("gh", "login", "other"), "a", "b"),
        ] {
            assert_ne!(other, print);
        }
    }

    #[test]
    fn it_shows_which_key_of_the_source_secret_is_used_for_which_value() {
        let print = |keys| Fingerprint::new("token", &qontak(&keys), "a", "b");
        let all = [
            print(json!({})),
            print(json!({"username": "password", "password": "username"})),
            print(json!({"username": "user"})),
            print(json!({"clientId": "id", "clientSecret": "secret"})),
            print(json!({"clientId": "secret", "clientSecret": "id"})),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(all[place + 1..].iter().all(|other| other != one), "{place}");
        }
        assert_eq!(print(json!({"username": "username", "password": "password"})), all[0], "the names by default");
    }

    #[test]
    fn the_first_version_never_changes() {
        // Every later release must verify stored fingerprints: these bytes are part of the contract.
        assert_eq!(
            Fingerprint::new("token", &welkin("gh", "login", "secret"), "2026-01-01T00:00:00Z", "never").to_text(),
            "v1:0da5c02b995d54c7f3773d0abb34061de53b4cce7d8eeafeff18bb010cc705a2"
        );
        let keys = json!({"clientId": "id", "clientSecret": "secret"});
        assert_eq!(
            Fingerprint::new("token", &qontak(&keys), "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z").to_text(),
            "v1:6e322b165b5b467207d9d35f8e74cf6d8d5f559921224044afe7b2099e4d6872"
        );
    }

    #[test]
    fn an_unknown_version_is_not_parsed() {
        for text in ["", "v1", "v2:a", "V1:a"] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
