//! The names that alerts and dashboards may rely on.

use std::collections::BTreeSet;

use crate::expressions::{self, FileKind};

/// Every metric of the contract, without the suffixes of a histogram's series.
pub const ALL: &[&str] = &[
    "apicredential_build_info",
    "apicredential_clock_skew_seconds",
    "apicredential_consecutive_failures",
    "apicredential_exchange_duration_seconds",
    "apicredential_exchanges_total",
    "apicredential_leader",
    "apicredential_queue_depth",
    "apicredential_ready",
    "apicredential_reconcile_duration_seconds",
    "apicredential_reconciles_total",
    "apicredential_renewal_lateness_seconds",
    "apicredential_renewal_timestamp_seconds",
    "apicredential_renewals_total",
    "apicredential_suspended",
    "apicredential_target_writes_total",
    "apicredential_throttle_wait_seconds",
    "apicredential_token_expiry_timestamp_seconds",
    "apicredential_token_issued_timestamp_seconds",
    "apicredential_verifications_total",
    "apicredential_watch_changed_timestamp_seconds",
    "apicredential_watch_up",
];

/// Our metrics in an expression.
pub fn metrics_of(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("apicredential_")).map(of_series).collect()
}

/// The metric that a series belongs to.
pub fn of_series(name: &str) -> String {
    ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name).to_owned()
}

#[test]
fn every_expression_uses_metrics_that_exist_and_every_metric_is_shown() {
    let all = expressions::all();
    for expression in &all {
        let unknown: Vec<_> =
            metrics_of(&expression.text).into_iter().filter(|name| !ALL.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", expression.origin);
    }
    let dashboard = all.iter().filter(|expression| expression.place == FileKind::Dashboard);
    let shown: BTreeSet<String> = dashboard.flat_map(|expression| metrics_of(&expression.text)).collect();
    assert_eq!(shown, ALL.iter().map(ToString::to_string).collect());
}
