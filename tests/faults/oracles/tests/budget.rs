//! I7.

use super::forge::{Forge, assert_broken, assert_kept, honest};
use crate::history::What;

#[test]
fn more_requests_than_the_rate_allows_are_noticed() {
    // A burst of 3, and one that the network may have delayed; then one each second.
    let many = |count: usize, takes_over: bool| {
        let mut it = honest();
        it.at(3000);
        for number in 0..count {
            let token = format!("token {number}");
            it.source(&format!("value {number}")).requests(&token).stores(&token);
            if takes_over {
                it.did(What::Started { replica: number });
            }
        }
        it
    };
    assert_kept(&many(4, false));
    let mut it = many(5, false);
    it.at(3001).did(What::Started { replica: 1 });
    assert_broken(&it, "I7", "more than the rate allows");
    it.history.timings.provider_rate = 0.0;
    assert_kept(&it);
    // A replica that takes over does not know what the other one has sent.
    assert_kept(&many(5, true));
}

#[test]
fn a_rejected_login_is_tried_five_times_and_then_rarely() {
    let tried = |times: &[i64]| {
        let mut it = Forge::new();
        times.iter().for_each(|time| {
            it.at(*time).fails(401);
        });
        it
    };
    // At least 12, 24, 48 and 96 s apart, and then 720 s.
    let five = [0, 13, 38, 87, 184];
    assert_kept(&tried(&five));
    assert_kept(&tried(&[&five[..], &[905]].concat()));
    for times in [[0, 11, 38, 87, 184, 905], [0, 13, 38, 87, 182, 905], [0, 13, 38, 87, 184, 890]] {
        let violations = tried(&times).checked().violations;
        assert!(
            violations.iter().any(|it| it.starts_with("I7: ") && it.contains("sooner")),
            "{times:?} {violations:?}"
        );
    }
    // A success resets the count.
    let mut it = tried(&five);
    it.at(905).syncs("first").source("two").fails(401).at(918).fails(401);
    assert_kept(&it);
    // Other values start a new count.
    let mut it = tried(&five);
    it.at(200).source("two").fails(401);
    assert_kept(&it);
}
