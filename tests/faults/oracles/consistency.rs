//! I8: the annotations of a token match that token, in every version that was stored.

use std::collections::HashMap;
use std::time::Duration;

use super::Report;
use super::records::{CALL_TIMEOUT, Credential, Records, annotation, fits};
use crate::history::{Version, What};

/// Times are whole seconds, and a lifetime may be rounded to one.
const ROUNDING: Duration = Duration::from_secs(1);

/// What is stored with a token: issued-at, expires-at, fingerprint.
type TokenAnnotations<'a> = [&'a str; 3];

pub fn check(records: &Records<'_>, report: &mut Report) {
    let credentials = records.credentials();
    let mut first: HashMap<usize, (TokenAnnotations<'_>, usize)> = HashMap::new();
    for version in records.history.versions.iter().filter(|it| it.resource == "secrets" && !it.deleted) {
        let (Some(token), Some(by)) = (records.token_in(&version.object), records.made_by(version)) else { continue };
        report.count("I8");
        let now = annotations_of(version);
        let ours = records.writer(version).is_some();
        let mut wrong = ours.then(|| belongs(records, version, by, &credentials)).flatten();
        let (known, known_by) = *first.entry(token).or_insert((now, by));
        if by != known_by {
            // The provider has issued the same token once more: it may count from then.
            first.insert(token, (now, by));
        } else if known != now && (ours || is_changed(records, version) && !is_edited(records, version, &credentials)) {
            wrong = wrong.or(Some("the times or the fingerprint stored with its token are not those of the token"));
        }
        if let Some(wrong) = wrong {
            report.violated("I8", format!("version {} of {}: {wrong}", version.version, version.name));
        }
    }
}

fn annotations_of(version: &Version) -> TokenAnnotations<'_> {
    ["issued-at", "expires-at", "fingerprint"].map(|name| annotation(&version.object, name))
}

/// What a replica wrote with a token: a fingerprint of exactly this token, its times and an existing spec, and an
/// expiry that is not later than the token's own; and all of it new if the token is.
fn belongs<'a>(
    records: &Records<'a>,
    version: &'a Version,
    by: usize,
    credentials: &[Credential<'_>],
) -> Option<&'static str> {
    let exchange = &records.history.exchanges[by];
    let [issued, expires, print] = annotations_of(version);
    let before = records.before(&version.name, version.version).filter(|before| before.uid == version.uid);
    let replaced = before.filter(|before| records.token_in(&before.object) != records.token_in(&version.object));
    if replaced.is_some_and(|before| annotation(&before.object, "fingerprint") == print) {
        return Some("its token is another one, and the fingerprint stayed");
    }
    let mut specs = credentials.iter().filter(|it| it.target() == version.name).flat_map(|it| it.versions());
    let token = exchange.token.as_deref().unwrap_or_default();
    if !specs.any(|it| fits(&version.object, token, &it.object["spec"])) {
        return Some("the fingerprint is not of its token, these times and any spec");
    }
    let issued: Option<jiff::Timestamp> = issued.parse().ok();
    if issued.is_none_or(|issued| issued > exchange.at) {
        return Some("its issue time is later than the token was issued");
    }
    let outlives = match (expires.parse::<jiff::Timestamp>(), exchange.expires) {
        (Ok(said), Some(ends)) => said > ends + ROUNDING,
        (Err(_), Some(_)) => true,
        (_, None) => false,
    };
    outlives.then_some("its expiry is later than that of the token")
}

/// Whether it differs there from the previous version.
fn is_changed<'a>(records: &Records<'a>, version: &'a Version) -> bool {
    let before = records.before(&version.name, version.version);
    before.is_none_or(|before| annotations_of(before) != annotations_of(version))
}

/// Whether a user edited this target just then.
fn is_edited(records: &Records<'_>, version: &Version, credentials: &[Credential<'_>]) -> bool {
    let mut interventions = records
        .history
        .interventions
        .iter()
        .filter(|intervention| intervention.at <= version.seen && version.seen < intervention.at + CALL_TIMEOUT);
    let own = |name: &str| credentials.iter().any(|it| it.name == name && it.target() == version.name);
    interventions.any(|intervention| matches!(&intervention.what, What::Target { credential } | What::Aged { credential } if own(credential)))
}
