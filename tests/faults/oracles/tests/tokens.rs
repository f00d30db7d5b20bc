//! I3, I4 and I8.

use std::time::Duration;

use super::forge::{Forge, TARGET, assert_broken, assert_kept, honest, second};
use crate::history::What;

#[test]
fn an_older_token_over_a_newer_one_is_noticed() {
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").syncs("second");
    it.at(200).edits(|_| {}).stores("first");
    assert_broken(&it, "I3", "older exchange");
    // The target was empty, after a newer token had been there.
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").syncs("second");
    it.at(200).deletes_target().reads().stores("first");
    assert_broken(&it, "I3", "older exchange");
    // Without its version it replaces one that was stored while it was in transit.
    let mut it = Forge::new();
    it.requests("first").at(10).did(What::Paused { replica: 0 }).at(90).requests("second").stores("second");
    it.at(100).stores("first");
    it.last_call().received = second(50);
    assert_broken(&it, "I3", "older exchange");
    // A token that a user restores is not the operator's write, and neither is keeping it while a label is repaired.
    let mut it = Forge::new();
    it.syncs("first");
    let first = it.target.clone().unwrap();
    it.at(100).source("two").syncs("second").did(What::Target { credential: "a".into() });
    it.edits(|target| (target["data"], target["metadata"]) = (first["data"].clone(), first["metadata"].clone()));
    it.stores("first");
    assert_kept(&it);
    // The same one once more is a repair.
    let mut it = honest();
    it.at(2850).edits(|target| target["metadata"]["labels"]["foreign"] = "true".into()).stores("fourth");
    assert_kept(&it);
}

/// A CREATE of the first token that the fault proxy received at 50, and that took effect at `committed`.
fn held_create(committed: i64) -> Forge {
    let mut it = Forge::new();
    it.at(40).requests("first").at(50).did(What::Paused { replica: 0 });
    it.replica = 1;
    it.at(90).requests("second").stores("second").reports_ready("True", "TokenValid");
    it.at(100).deletes_target();
    it.replica = 0;
    it.at(committed).stores("first");
    it.last_call().received = second(50);
    it
}

#[test]
fn a_create_that_the_network_delayed_is_counted_and_no_violation() {
    let report = held_create(110).checked();
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 1));
    // Its token has expired, too: one late create.
    let report = held_create(4000).checked();
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 1));
    // Received after the newer token was stored, so the network is not the reason.
    let mut it = held_create(110);
    it.last_call().received = second(95);
    assert_broken(&it, "I3", "older exchange");
}

#[test]
fn a_token_that_had_expired_when_it_was_written_is_noticed() {
    let mut it = Forge::new();
    it.requests("first").at(3601).did(What::Resumed { replica: 0 }).stores("first");
    assert_broken(&it, "I4", "had ended");
    // A repair that mentions no time keeps the stored one.
    let mut it = honest();
    it.at(2850).edits(|target| target["metadata"]["labels"]["foreign"] = "true".into());
    it.at(7000).stores("fourth");
    let annotations = it.last_call().body["metadata"].as_object_mut().unwrap();
    annotations.remove("annotations");
    assert_broken(&it, "I4", "had ended");
    let mut it = Forge::new();
    it.requests("first").at(3601).stores("first");
    it.last_call().received = second(3599);
    let report = it.checked();
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 1));
}

#[test]
fn a_token_beside_the_times_or_the_fingerprint_of_another_is_noticed() {
    for name in ["issued-at", "expires-at", "fingerprint"] {
        let mut it = honest();
        let mut versions = it.history.versions.iter_mut().filter(|version| version.name == TARGET);
        let name = format!("apicredential.io/{name}");
        let before = versions.next().unwrap().object["metadata"]["annotations"][&name].clone();
        versions.next().unwrap().object["metadata"]["annotations"][&name] = before;
        let violations = it.checked().violations;
        assert!(violations.iter().any(|it| it.starts_with("I8: ")), "{name}: {violations:#?}");
    }
}

#[test]
fn times_that_change_beside_a_token_are_noticed_unless_a_user_did_it() {
    let edited = |intervention: bool| {
        let mut it = honest();
        it.at(2850);
        if intervention {
            it.did(What::Target { credential: "a".into() });
        }
        it.edits(|target| {
            let later = second(99_999).to_string();
            target["metadata"]["annotations"]["apicredential.io/expires-at"] = later.into();
        });
        it
    };
    assert_broken(&edited(false), "I8", "not those of the token");
    assert_kept(&edited(true));
}

#[test]
fn a_token_with_a_later_expiry_or_issue_time_than_its_own_is_noticed() {
    let mut it = honest();
    let third = &mut it.history.exchanges[3];
    third.expires = third.expires.map(|expires| expires - Duration::from_secs(60));
    assert_broken(&it, "I8", "later than that of the token");
    let mut it = honest();
    it.at(2850).source("three").requests("fifth").at(2870).stores("fifth");
    it.history.exchanges.last_mut().unwrap().at -= Duration::from_secs(1);
    let violations = it.checked().violations;
    assert!(
        violations.iter().any(|it| it.starts_with("I8: ") && it.contains("its issue time is later")),
        "{violations:#?}"
    );
}

#[test]
fn the_same_token_issued_once_more_counts_from_then() {
    let mut it = Forge::new();
    it.syncs("same").at(100).source("two").requests("same");
    // As a provider that issues a valid token again does.
    let first = it.history.exchanges.remove(0);
    it.stores("same");
    it.history.exchanges.insert(0, first);
    assert_kept(&it);
}
