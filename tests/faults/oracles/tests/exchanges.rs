//! I2.

use serde_json::json;

use super::forge::{Forge, assert_broken, assert_kept, honest};
use crate::history::{Intervention, What};

#[test]
fn an_exchange_without_a_cause_is_noticed() {
    let mut it = honest();
    it.at(2850).syncs("fifth");
    assert_broken(&it, "I2", "no cause");
    // A restart is no cause.
    let mut it = Forge::new();
    it.syncs("first");
    it.at(60).did(What::Ended { replica: 0 }).did(What::Started { replica: 0 }).syncs("second");
    assert_broken(&it, "I2", "no cause");
    // A renewal before its time is none either; it is due at 2040 at the earliest and at 2400 at the latest.
    let mut it = Forge::new();
    it.syncs("first").at(2039).syncs("second");
    assert_broken(&it, "I2", "no cause");
}

#[test]
fn causes_that_come_while_one_is_open_count_once() {
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").source("three").deletes_target().dry_runs().syncs("second");
    assert_kept(&it);
    it.at(110).syncs("third");
    assert_broken(&it, "I2", "no cause");
}

#[test]
fn a_token_for_an_old_password_is_not_the_result_of_the_changed_password() {
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").requests("second");
    it.history.exchanges.last_mut().unwrap().secret = "one".into();
    it.stores("second").syncs("third");
    assert_kept(&it);
}

#[test]
fn a_renew_request_is_one_cause() {
    let mut it = Forge::new();
    it.syncs("first").at(100).requests_renewal("now").syncs("second");
    assert_kept(&it);
    it.at(200).syncs("third");
    assert_broken(&it, "I2", "no cause");
}

#[test]
fn a_token_that_the_provider_rejects_is_one_cause_and_gets_its_exchange() {
    let revoked = || {
        let mut it = Forge::new();
        it.syncs("first").reports_ready("True", "TokenValid").at(100).did(What::Revoked { credential: "a".into() });
        it
    };
    let mut it = revoked();
    it.syncs("second");
    assert_kept(&it);
    it.at(200).syncs("third");
    assert_broken(&it, "I2", "no cause");
    let mut it = revoked();
    it.did(What::Calm).did(What::Converged);
    assert_broken(&it, "I2", "got no exchange");
}

#[test]
fn a_changed_spec_is_one_cause() {
    let mut it = Forge::new();
    it.syncs("first").at(100).spec("tenant", "hg").syncs("second");
    assert_kept(&it);
    it.at(200).syncs("third");
    assert_broken(&it, "I2", "no cause");
}

#[test]
fn two_exchanges_at_once_for_one_cause_are_noticed_unless_a_replica_was_disturbed() {
    let twice = |disturbed: bool| {
        let mut it = Forge::new();
        it.requests("first");
        if disturbed {
            it.did(What::Paused { replica: 0 });
        }
        it.requests("second").stores("first").stores("second");
        it
    };
    assert_broken(&twice(false), "I2", "under way");
    assert_kept(&twice(true));
}

#[test]
fn a_token_that_was_lost_without_a_reason_is_noticed() {
    let lost = |what: Option<What>| {
        let mut it = Forge::new();
        it.syncs("first").at(100).requests_renewal("now").requests("lost");
        if let Some(what) = what {
            it.did(what);
        }
        it.at(101).syncs("second");
        it
    };
    assert_broken(&lost(None), "I2", "nothing explains");
    for what in [
        What::Ended { replica: 0 },
        What::Terminated { replica: 0 },
        What::Paused { replica: 0 },
        What::Fault { name: "patch secrets".into() },
        What::Deleted { credential: "a".into() },
    ] {
        assert_kept(&lost(Some(what)));
    }
    assert_broken(&lost(Some(What::Deleted { credential: "b".into() })), "I2", "nothing explains");
    // One fault loses one token.
    let mut it = lost(Some(What::Fault { name: "patch secrets".into() }));
    it.at(103).requests_renewal("again").requests("lost, too").syncs("third");
    assert_broken(&it, "I2", "nothing explains");
    // A lost response explains itself, and is a transient failure.
    let swallowed = |after: i64| {
        let mut it = Forge::new();
        it.syncs("first").at(100).requests_renewal("now").requests("lost").at(after).syncs("second");
        it.history.exchanges[1].answered = false;
        it
    };
    assert_kept(&swallowed(102));
    assert_broken(&swallowed(100), "I2", "sooner");
    // The cause of an exchange is no reason to lose its token.
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").requests("lost").at(101).syncs("second");
    assert_broken(&it, "I2", "nothing explains");
}

#[test]
fn an_excuse_lasts_as_long_as_its_disturbance() {
    let loses = |it: &mut Forge, at: i64| {
        it.at(at).requests_renewal("now").requests("lost").at(at + 1).syncs("second");
    };
    let lost = |from: What, to: What, meanwhile: bool| {
        let mut it = Forge::new();
        it.syncs("first").at(100).did(from);
        if meanwhile {
            loses(&mut it, 105);
        }
        it.at(110).did(to).did(What::Started { replica: 0 });
        if !meanwhile {
            loses(&mut it, 112);
        }
        it
    };
    let paused = |meanwhile| lost(What::Paused { replica: 0 }, What::Resumed { replica: 0 }, meanwhile);
    let sigterm = |meanwhile| lost(What::Terminated { replica: 0 }, What::Ended { replica: 0 }, meanwhile);
    assert_kept(&paused(true));
    assert_kept(&sigterm(true));
    assert_broken(&paused(false), "I2", "nothing explains");
    assert_broken(&sigterm(false), "I2", "nothing explains");
    // A replica that got SIGTERM and was started again may be killed later.
    let mut it = sigterm(false);
    let killed = it.history.exchanges[1].at;
    it.history.interventions.push(Intervention { at: killed, what: What::Ended { replica: 0 } });
    assert_kept(&it);
}

#[test]
fn another_try_before_its_time_is_noticed() {
    let again = |status: u16, after: i64| {
        let mut it = Forge::new();
        it.fails(status).at(after).syncs("first");
        it
    };
    // With a base of 2 s: transient at least 1 s later, unusable and rejected at least 12 s.
    assert_broken(&again(500, 0), "I2", "sooner");
    assert_kept(&again(500, 2));
    assert_broken(&again(200, 11), "I2", "sooner");
    assert_kept(&again(200, 13));
    assert_kept(&again(401, 13));
    assert_kept(&again(429, 2));
    let report = again(401, 11).checked();
    assert!(report.violations.iter().any(|it| it.starts_with("I2: ") && it.contains("sooner")), "{report:#?}");
    // Each delay is twice the one before: at least 1, 2 and 4 s.
    let row = |disturbs: i64| {
        let mut it = Forge::new();
        for second in [0, 2, 5] {
            it.at(second).fails(500);
            if second == disturbs {
                it.did(What::Fault { name: "patch apicredentials/status".into() });
            }
        }
        it.at(8).syncs("first").at(20).did(What::Ended { replica: 0 });
        it
    };
    assert_broken(&row(-1), "I2", "sooner");
    // Unless a write of the status was lost.
    assert_kept(&row(2));
    // Another spec, other values or a request: at once. The deletion of the Secret is none of these.
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").fails(401).source("three").syncs("second");
    assert_kept(&it);
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").fails(500).deletes_target().syncs("second");
    assert_broken(&it, "I2", "sooner");
    // A replica that was killed before it could record the failure has forgotten it.
    let mut it = Forge::new();
    it.fails(500).did(What::Ended { replica: 0 }).did(What::Started { replica: 0 }).syncs("first");
    assert_kept(&it);
}

#[test]
fn a_token_that_is_valid_no_longer_is_requested_again_only_shortly_before_the_expiry() {
    let kept = |again: i64| {
        let mut it = Forge::new();
        it.syncs("first").at(2500).requests("no longer");
        it.history.exchanges[1].expires = it.history.exchanges[0].expires;
        it.at(again).syncs("second");
        it
    };
    // Its last minute begins at 3540.
    assert_broken(&kept(3500), "I2", "too soon");
    assert_kept(&kept(3541));
    // The same holds for a provider that issues the same token once more. A change of the password does not wait.
    let same = |changes: bool| {
        let mut it = Forge::new();
        it.syncs("first").at(2500).requests("first").at(2600);
        if changes {
            it.source("two");
        }
        it.requests("second").stores("second");
        it
    };
    assert_broken(&same(false), "I2", "too soon");
    assert_kept(&same(true));
}

#[test]
fn a_renewal_is_due_by_the_spec_of_that_time() {
    let aged = |asked: i64| {
        let mut it = Forge::new();
        it.syncs("first").at(asked.min(900));
        let changes = |it: &mut Forge| {
            it.at(1000);
            it.credential["spec"]["renewal"] = json!({"maxAge": "5m"});
            it.reports_ready("True", "TokenValid");
        };
        if asked < 1000 {
            it.syncs("second");
            changes(&mut it);
        } else {
            changes(&mut it);
            it.syncs("second");
        }
        it
    };
    assert_broken(&aged(900), "I2", "no cause");
    assert_kept(&aged(1000));
}

#[test]
fn without_a_fault_a_cause_without_an_exchange_is_noticed() {
    let idle = |it: &mut Forge| {
        it.at(150).reports_ready("True", "TokenValid").did(What::Converged);
    };
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two");
    idle(&mut it);
    assert_broken(&it, "I2", "got no exchange");
    for is_spec in [true, false] {
        let mut it = Forge::new();
        it.syncs("first").at(100);
        if is_spec {
            it.spec("tenant", "hg")
        } else {
            it.requests_renewal("now")
        };
        // Of the previous generation, which the token matches.
        let conditions = it.credential["status"]["conditions"].clone();
        it.writes_status(json!({"observedGeneration": 1, "conditions": conditions})).did(What::Converged);
        assert_broken(&it, "I2", "got no exchange");
    }
    // Not decidable for one that is not ready, or suspended.
    for suspended in [true, false] {
        let mut it = Forge::new();
        it.syncs("first").at(100).source("two");
        it.credential["spec"]["suspend"] = suspended.into();
        it.reports_ready(if suspended { "True" } else { "False" }, "TokenValid").did(What::Converged);
        assert_kept(&it);
    }
    // A change that was reverted needs none, and with a fault it is not decidable.
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").source("one");
    idle(&mut it);
    assert_kept(&it);
    let mut it = Forge::new();
    it.syncs("first").at(100).source("two").did(What::Fault { name: "watch".into() });
    idle(&mut it);
    assert_kept(&it);
}

#[test]
fn an_exchange_for_a_client_of_no_apicredential_is_noticed() {
    let mut it = honest();
    it.history.exchanges[3].client = "stranger".into();
    let report = it.checked();
    assert!(report.violations.iter().any(|it| it.contains("of no credential")), "{report:#?}");
}

#[test]
fn the_exchanges_of_a_qontak_apicredential_are_identified_by_the_user_in_its_source() {
    let mut it = Forge::new();
    let qontak = json!({"type": "Qontak", "qontak": {"secretRef": {"name": "a-source"}}});
    for version in &mut it.history.versions {
        match version.name.as_str() {
            "a" => version.object["spec"]["provider"] = qontak.clone(),
            _ => version.object["data"]["username"] = "Y2xpZW50".into(),
        }
    }
    it.credential["spec"]["provider"] = qontak;
    it.syncs("first");
    assert_kept(&it);
    it.at(100).syncs("second");
    assert_broken(&it, "I2", "no cause");
}
