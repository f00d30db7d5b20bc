//! Searches for secrets where none may be, also in the forms that logs and errors give them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aho_corasick::AhoCorasick;
use apicredential::api::ApiCredential;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::operator::Output;
use super::provider::Witness;
use super::space::Space;

/// Shorter texts occur by chance.
const SHORTEST: usize = 12;
/// A prefix or suffix of this length reveals a longer secret.
const PART: usize = 24;

/// The secrets to look for.
pub struct Sentinels {
    /// The text to search for → its name in a failure, which must not repeat the secret.
    forms: BTreeMap<String, String>,
    /// Finds all of them in one pass: a log at TRACE is long, and there may be hundreds of tokens.
    searcher: OnceLock<AhoCorasick>,
}

impl Sentinels {
    /// Secrets, passwords and tokens, by the name that a failure shows.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sentinels = Self { forms: BTreeMap::new(), searcher: OnceLock::new() };
        for (name, secret) in secrets {
            sentinels.add(name, secret);
        }
        sentinels
    }

    /// What these providers received and issued, where it is long enough.
    pub fn of_providers(witnesses: &[Witness]) -> Self {
        let mut sentinels = Self::new([]);
        for (name, secret) in witnesses.iter().flat_map(|witness| witness()) {
            if secret.len() >= SHORTEST {
                sentinels.add(name, &secret);
            }
        }
        sentinels
    }

    /// Adds one.
    pub fn add(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= SHORTEST, "{name}: a sentinel must be of {SHORTEST} bytes or more");
        self.searcher = OnceLock::new();
        self.add_forms(name, secret);
        if secret.len() >= 2 * PART && secret.is_ascii() {
            self.add_forms(&format!("the beginning of {name}"), &secret[..PART]);
            self.add_forms(&format!("the end of {name}"), &secret[secret.len() - PART..]);
        }
    }

    /// Adds a text that is looked for just as it is.
    pub fn add_plain(&mut self, name: &str, text: &str) {
        assert!(text.len() >= SHORTEST, "{name}: a sentinel must be of {SHORTEST} bytes or more");
        self.searcher = OnceLock::new();
        self.forms.insert(text.to_owned(), name.to_owned());
    }

    /// The names of the sentinels that are in the text.
    pub fn found_in(&self, text: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self.sightings(text).into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The same, and where in the text each was found.
    pub fn sightings(&self, text: &str) -> Vec<(&str, usize)> {
        let searcher = self.searcher.get_or_init(|| AhoCorasick::new(self.forms.keys()).expect("the forms fit"));
        let names: Vec<&str> = self.forms.values().map(String::as_str).collect();
        let seen = searcher.find_overlapping_iter(text);
        seen.map(|found| (names[found.pattern().as_usize()], found.start())).collect()
    }

    fn add_forms(&mut self, name: &str, secret: &str) {
        let mut add = |how: &str, form: String| drop(self.forms.insert(form, format!("{name} ({how})")));
        let json = escaped(secret);
        add("escaped twice", escaped(&json));
        add("JSON-escaped", json);
        add("Debug", unquoted(&format!("{secret:?}")));
        for offset in 0..3 {
            add("base64", aligned(&BASE64_STANDARD_NO_PAD.encode(shifted(secret, offset)), offset, secret));
            add("base64url", aligned(&BASE64_URL_SAFE_NO_PAD.encode(shifted(secret, offset)), offset, secret));
        }
        add("hex", joined(secret, |text, byte| write!(text, "{byte:02x}")));
        add("HEX", joined(secret, |text, byte| write!(text, "{byte:02X}")));
        add("bytes", joined(secret, |text, byte| write!(text, "{byte}, ")).trim_end_matches(", ").to_owned());
        for space in ["%20", "+"] {
            add("URL-escaped", url_escaped(secret, space, |text, byte| write!(text, "%{byte:02X}")));
            add("URL-escaped in lower case", url_escaped(secret, space, |text, byte| write!(text, "%{byte:02x}")));
        }
        add("plain", secret.to_owned());
    }
}

impl Space {
    /// Fails if there are any [`Space::leaks`].
    pub async fn assert_no_leaks(&self, sentinels: &Sentinels) {
        let leaks = self.leaks(sentinels).await;
        assert!(leaks.is_empty(), "leaked: {leaks:#?}");
    }

    /// The sentinels in an operator's output or metrics, or in an event, an ApiCredential, or the metadata of a Secret
    /// or lease of this namespace.
    pub async fn leaks(&self, sentinels: &Sentinels) -> Vec<String> {
        find(&self.client, &self.name, &self.operator_outputs(), sentinels).await
    }
}

/// See [`Space::leaks`]. An API server that does not respond shows nothing.
pub async fn find(client: &Client, namespace: &str, outputs: &[Arc<Output>], sentinels: &Sentinels) -> Vec<String> {
    let mut texts = Vec::new();
    for output in outputs {
        texts.push(("the operator's output".to_owned(), output.text()));
        if let Some((_, metrics)) = output.get("/metrics").await {
            texts.push(("the metrics".to_owned(), metrics));
        }
    }
    let objects = tokio::time::timeout(Duration::from_secs(10), public_objects(client, namespace)).await;
    texts.extend(objects.ok().and_then(Result::ok).unwrap_or_default());
    let mut leaks = Vec::new();
    for (place, text) in texts {
        leaks.extend(sentinels.found_in(&text).into_iter().map(|name| format!("{name} in {place}")));
    }
    leaks
}

async fn public_objects(client: &Client, namespace: &str) -> kube::Result<Vec<(String, String)>> {
    let all = ListParams::default();
    let mut texts = Vec::new();
    for event in Api::<Event>::namespaced(client.clone(), namespace).list(&all).await? {
        texts.push((format!("event {}", event.name_any()), text(&event)));
    }
    for credential in Api::<ApiCredential>::namespaced(client.clone(), namespace).list(&all).await? {
        texts.push((format!("credential {}", credential.name_any()), text(&credential)));
    }
    for secret in Api::<Secret>::namespaced(client.clone(), namespace).list_metadata(&all).await? {
        texts.push((format!("metadata of Secret {}", secret.name_any()), text(&secret.metadata)));
    }
    for lease in Api::<Lease>::namespaced(client.clone(), namespace).list(&all).await? {
        texts.push((format!("lease {}", lease.name_any()), text(&lease)));
    }
    Ok(texts)
}

fn text(object: &impl serde::Serialize) -> String {
    serde_json::to_string(object).expect("an API object is JSON")
}

fn escaped(text: &str) -> String {
    unquoted(&Value::from(text).to_string())
}

fn unquoted(text: &str) -> String {
    text[1..text.len() - 1].to_owned()
}

fn joined(secret: &str, mut add: impl FnMut(&mut String, u8) -> std::fmt::Result) -> String {
    let mut text = String::new();
    for byte in secret.bytes() {
        add(&mut text, byte).expect("writing to a String cannot fail");
    }
    text
}

fn url_escaped(secret: &str, space: &str, escape: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    joined(secret, |text, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => write!(text, "{}", char::from(byte)),
        b' ' => text.write_str(space),
        _ => escape(text, byte),
    })
}

fn shifted(secret: &str, offset: usize) -> Vec<u8> {
    std::iter::repeat_n(0, offset).chain(secret.bytes()).collect()
}

/// Only the characters that depend on the secret alone, whatever precedes and follows it.
fn aligned(encoded: &str, offset: usize, secret: &str) -> String {
    let first = (offset * 8).div_ceil(6);
    let last = (offset + secret.len()) * 8 / 6;
    encoded[first..last].to_owned()
}
