//! I7 and I9: how often.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Report;
use crate::history::{Exchange, History, What};

/// In this window …
const WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// … one object is written at most so often by the replicas: with a base of 250 ms there are at most eight attempts in
/// it, each with one status before and one after it, and what a person does meanwhile.
const WRITES: usize = 24;
/// … and read at most so often.
const READS: usize = 60;
/// After so many rejected attempts the next one waits 720 times the base.
const TRIES: usize = 5;

pub fn judge(history: &History, report: &mut Report) {
    rate(history, report);
    rejected(history, report);
    hot_loops(history, report);
}

/// At most `burst + rate × W` requests in every window W.
fn rate(history: &History, report: &mut Report) {
    let (rate, burst) = (history.terms.provider_rate, f64::from(history.terms.provider_burst));
    if rate <= 0.0 {
        return;
    }
    let times: Vec<Timestamp> = history.exchanges.iter().map(|exchange| exchange.at).collect();
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            report.look("I7");
            let window = to.duration_since(*from).as_secs_f64();
            let allowed = burst + rate * window + 1.0;
            if f64::from(u32::try_from(last - first + 1).unwrap_or(u32::MAX)) > allowed {
                return report.violated("I7", format!("more requests than the rate allows from {from} to {to}"));
            }
        }
    }
}

/// A credential that is rejected does not hammer: five tries, and then a long wait.
fn rejected(history: &History, report: &mut Report) {
    let mut in_a_row: BTreeMap<&str, Vec<&Exchange>> = BTreeMap::new();
    for exchange in &history.exchanges {
        let row = in_a_row.entry(&exchange.client).or_default();
        let changed = row.last().is_some_and(|last| changed_between(history, last.at, exchange.at));
        let is_rejected =
            matches!(exchange.status, Some(status) if (400..500).contains(&status) && status != 408 && status != 429);
        if changed || !is_rejected {
            row.clear();
        }
        if !is_rejected {
            continue;
        }
        report.look("I7");
        if row.len() >= TRIES {
            let wait = SignedDuration::try_from(history.terms.retry_base * 360).unwrap_or_default();
            let last = row[row.len() - 1].at;
            if exchange.at.duration_since(last) < wait {
                report.violated("I7", format!("a {}th try of rejected credentials at {}", row.len() + 1, exchange.at));
            }
        }
        row.push(exchange);
    }
}

fn changed_between(history: &History, from: Timestamp, to: Timestamp) -> bool {
    let changes = |what: &What| matches!(what, What::Source { .. } | What::Spec { .. } | What::Renew { .. });
    history.deeds.iter().any(|deed| changes(&deed.what) && deed.at > from && deed.at <= to)
}

/// No object is written or read over and over.
fn hot_loops(history: &History, report: &mut Report) {
    let mut times: BTreeMap<(bool, &str, &str), Vec<Timestamp>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| !matches!(call.verb.as_str(), "list" | "watch")) {
        times.entry((call.is_write(), &call.resource, &call.name)).or_default().push(call.received);
    }
    for ((writes, resource, name), times) in times {
        report.look("I9");
        let limit = if writes { WRITES } else { READS };
        if times.windows(limit + 1).any(|window| window[limit].duration_since(window[0]) < WINDOW) {
            report.violated("I9", format!("more than {limit} requests for {resource} {name} within {WINDOW}"));
        }
    }
}
