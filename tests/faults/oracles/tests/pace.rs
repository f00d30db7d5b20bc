//! I9.

use serde_json::{Value, json};

use super::forge::{assert_broken, assert_kept, honest};
use crate::history::What;

#[test]
fn a_status_or_an_event_that_is_written_repeatedly_is_noticed() {
    let turns = |count: usize| {
        let mut it = honest();
        (0..count).for_each(|number| {
            let at = i64::try_from(number / 4).unwrap();
            it.at(2850 + at).reports_ready("True", "TokenValid");
        });
        it
    };
    assert_kept(&turns(4));
    assert_broken(&turns(5), "I9", "is written 5 times");
    let mut it = honest();
    it.at(2850);
    (0..5).for_each(|_| {
        it.event("Issued");
    });
    assert_broken(&it, "I9", "is written");
}

#[test]
fn writes_with_a_reason_are_accepted() {
    let mut it = honest();
    (0..5).for_each(|number| {
        it.at(2850 + number).source(&format!("value {number}")).reports_ready("True", "TokenValid");
        it.syncs(&format!("token {number}"));
    });
    it.history.timings.provider_burst = 9;
    assert_kept(&it);
}

#[test]
fn a_secret_that_is_read_repeatedly_is_noticed() {
    let polls = |count: i64| {
        let mut it = honest();
        (0..count).for_each(|number| {
            it.at(3000 + number).reads();
        });
        it
    };
    // With a base of 2 s a rejected object is reconciled every 24 s.
    assert_kept(&polls(8));
    assert_broken(&polls(20), "I9", "is read");
}

#[test]
fn a_lease_that_is_written_more_often_than_every_sixth_of_it_is_noticed() {
    let renewed = |every: i64| {
        let mut it = honest();
        (0..10).for_each(|number| {
            it.at(3000 + every * number).call("update", "leases", "lease", Value::Null, Value::Null);
        });
        it
    };
    assert_kept(&renewed(4));
    assert_broken(&renewed(2), "I9", "writes its lease");
    let mut it = renewed(2);
    it.at(3001).did(What::Fault { name: "update leases".into() }).did(What::Started { replica: 0 });
    assert_kept(&it);
}

#[test]
fn a_reason_that_is_not_in_the_table_is_noticed_in_every_field() {
    let mut it = honest();
    it.at(2850).reports_ready("True", "Surprise");
    assert_broken(&it, "I9", "not in the table");
    let mut it = honest();
    it.at(2850).event("Surprise");
    assert_broken(&it, "I9", "not in the table");
    let mut it = honest();
    it.at(2850).writes_status(json!({"lastAttempt": {"reason": "Surprise"}}));
    assert_broken(&it, "I9", "not in the table");
}

#[test]
fn reconciling_and_stalled_at_once_are_noticed() {
    let says = |types: &[&str]| {
        let conditions = types.iter().map(|type_| json!({"type": type_, "status": "True", "reason": "Pending"}));
        let mut it = honest();
        it.at(2850).writes_status(json!({"conditions": conditions.collect::<Vec<_>>()}));
        it
    };
    assert_kept(&says(&["Reconciling"]));
    assert_broken(&says(&["Reconciling", "Stalled"]), "I9", "at once");
}

#[test]
fn a_transition_time_that_moves_alone_is_noticed() {
    let mut it = honest();
    it.at(2850).deletes_target().reports_ready("False", "Pending");
    assert_kept(&it);
    let mut condition = it.credential["status"]["conditions"][0].clone();
    condition["lastTransitionTime"] = "2030-01-01T00:00:00Z".into();
    it.writes_status(json!({"conditions": [condition]}));
    assert_broken(&it, "I9", "moved");
}
