//! Each oracle rejects histories that were forged for it, and all of them accept an honest one.

mod budget;
mod exchanges;
mod forge;
mod pace;
mod ready;
mod tokens;
mod writes;

use forge::{Forge, honest};

#[test]
fn an_honest_history_passes_and_each_promise_was_checked() {
    let report = honest().checked();
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 0));
    for promise in ["I1", "I2", "I3", "I4", "I5", "I7", "I8", "I9"] {
        assert!(report.checks.get(promise).is_some_and(|times| *times > 2), "{promise}: {:?}", report.checks);
    }
}

#[test]
fn no_violation_quotes_a_secret_or_a_token() {
    let mut it = honest();
    it.at(2900).requests("unasked").stores("first");
    it.reports_ready("True", "an unknown reason");
    let report = it.checked();
    assert!(report.violations.len() > 2, "{:#?}", report.violations);
    for text in &report.violations {
        assert!(["unasked", "first", "two"].iter().all(|secret| !text.contains(secret)), "{text}");
    }
}
