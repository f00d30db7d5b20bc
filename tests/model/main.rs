//! Model check of the protocol: two replicas, one lease, one provider, one API server, users, and a clock.
//!
//! The model calls the real [`decide`](apicredential::decide), `schedule`, the election's rules and the guard of the
//! writes. It models the environment around them and the order of the awaits. Every interleaving within a stated bound
//! is visited. `MODEL_BOUND=large` goes further, for a few minutes:
//!
//! ```text
//! MODEL_BOUND=large cargo test --test model -- --include-ignored --nocapture --test-threads 1
//! ```
//!
//! Not modelled: two clocks that differ, a watch that lags, renew requests, a provider that returns the same token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics, with its reason")]

mod election;
mod facts;
mod ledger;
mod protocol;
mod replica;
mod server;
mod user;
mod world;

use apicredential_operator::clock;
use stateright::{Checker as _, Expectation, HasDiscoveries, Model as _};

use protocol::{Bound, Guards, Protocol};
use world::Budget;

/// Tokens of 20 s: renewals, expiry, changes by users, lost responses and replies, all within one term.
const SHORT: Bound = Bound { horizon: 6, lifetime: 4, budget: Budget { changes: 1, losses: 1, ends: 0 } };
/// Tokens that outlive a lease of 60 s: a stopped leader meets its successor.
const HANDOVER: Bound = Bound { horizon: 12, lifetime: 40, budget: Budget { changes: 1, losses: 0, ends: 0 } };
/// The same, where a leader also crashes or ends in order.
const RETURN: Bound = Bound { horizon: 12, lifetime: 40, budget: Budget { changes: 1, losses: 0, ends: 1 } };

/// The bound as it stands, or a larger one.
fn bound(smoke: Bound, large: Bound) -> Bound {
    if std::env::var("MODEL_BOUND").is_ok_and(|bound| bound == "large") { large } else { smoke }
}

#[test]
fn short_tokens_are_written_while_valid_and_once_for_each_cause() {
    check("short tokens", bound(SHORT, Bound { horizon: 8, ..SHORT }));
}

#[test]
fn a_leader_and_its_successor_keep_every_promise() {
    check("hand-over", bound(HANDOVER, Bound { horizon: 15, ..HANDOVER }));
}

#[test]
fn a_leader_that_crashes_leaves_or_returns_keeps_every_promise() {
    check("return", bound(Bound { lifetime: 16, budget: Budget { changes: 0, ..RETURN.budget }, ..RETURN }, RETURN));
}

/// The deadline is the second guard after the election: while a lost term waits for its write, only the lease protects.
#[test]
fn without_the_write_deadline_and_the_end_of_the_term_an_older_token_comes_back() {
    breaks(Guards { deadline: false, term: false, ..Guards::ALL }, RETURN, ledger::OLDER);
}

/// In the last five seconds of the deadline of a request that was sent late in its lease.
#[test]
#[ignore = "visits more than a million states"]
fn without_the_end_of_the_term_the_deadline_alone_is_too_late_by_a_moment() {
    breaks(Guards { term: false, ..Guards::ALL }, RETURN, ledger::OLDER);
}

#[test]
fn without_the_version_a_write_lands_in_a_foreign_secret() {
    breaks(Guards { version: false, ..Guards::ALL }, SHORT, ledger::FOREIGN);
}

#[test]
fn without_the_leader_check_two_leaders_store_tokens_for_one_cause() {
    breaks(Guards { leader: false, ..Guards::ALL }, HANDOVER, ledger::CAUSES);
}

#[test]
fn without_a_last_check_of_the_clock_an_expired_token_is_written() {
    breaks(Guards { expiry: false, ..Guards::ALL }, SHORT, ledger::EXPIRED);
}

#[test]
fn with_the_status_as_truth_exchanges_have_no_cause() {
    breaks(Guards { truth: false, ..Guards::ALL }, SHORT, ledger::CAUSES);
}

#[test]
fn a_status_that_is_written_again_without_a_new_evaluation_reports_an_expired_token_as_ready() {
    breaks(Guards { reevaluates: false, ..Guards::ALL }, SHORT, ledger::READY);
}

/// Visits every state within the bound.
#[expect(clippy::print_stdout, reason = "the number of states is part of what is proved")]
fn check(name: &str, bound: Bound) {
    let began = clock::SuspendAwareInstant::now();
    let checker = Protocol { bound, guards: Guards::ALL }.checker().threads(2).spawn_bfs().join();
    let found = checker.discoveries();
    for property in checker.model().properties() {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Always, Some(path)) => {
                panic!("{} is broken by {:?}", property.name, path.clone().into_actions())
            }
            (Expectation::Sometimes, None) => assert_eq!(property.name, ledger::LATE, "never reached"),
            _ => {}
        }
    }
    let seconds = began.elapsed().as_secs();
    let late = if found.contains_key(ledger::LATE) { "reached" } else { "not reached" };
    println!(
        "model, {name}: all {} states of {bound:?}; the late CREATE was {late}; {seconds} s",
        checker.unique_state_count()
    );
}

/// The promise is broken once a rule is left out.
#[expect(clippy::print_stdout, reason = "a counterexample is for people")]
fn breaks(guards: Guards, bound: Bound, promise: &'static str) {
    let finish = HasDiscoveries::AllOf([promise].into());
    let checker = Protocol { bound, guards }.checker().threads(2).finish_when(finish).spawn_dfs().join();
    let path = checker.discovery(promise).unwrap_or_else(|| panic!("{promise} holds with {guards:?}"));
    println!("model, {promise}: broken after {} states by {:?}", checker.unique_state_count(), path.into_actions());
}
