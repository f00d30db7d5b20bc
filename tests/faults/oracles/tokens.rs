//! I3, I4 and I8: which token stands in a Secret, and what stands beside it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Report, annotation, named, token};
use crate::history::{History, What};
use crate::support::gate::Call;

/// A write that stored a token which the stand-in issued.
struct Stored<'a> {
    call: &'a Call,
    /// The number of its exchange, in the order of their arrival.
    exchange: usize,
}

pub fn judge(history: &History, report: &mut Report) {
    let order = order(history);
    let stored: Vec<Stored<'_>> = history
        .calls
        .iter()
        .filter(|call| call.resource == "secrets" && call.took_effect())
        .filter_map(|call| Some(Stored { call, exchange: *order.get(&token(&call.answer)?)? }))
        .collect();
    for write in &stored {
        never_goes_back(write, &stored, report);
        is_alive(write, report);
    }
    change_together(history, &order, report);
}

/// Each token that was issued, by the first exchange that it came from.
fn order(history: &History) -> HashMap<String, usize> {
    let mut order = HashMap::new();
    for (number, exchange) in history.exchanges.iter().enumerate() {
        if let Some(token) = &exchange.token {
            order.entry(token.clone()).or_insert(number);
        }
    }
    order
}

/// Judged when the gate received it: what was stored by then must not be newer. A CREATE that was held on its way and
/// came later than a newer token is what no client can prevent; it is counted.
fn never_goes_back(write: &Stored<'_>, all: &[Stored<'_>], report: &mut Report) {
    report.look("I3");
    let newer = all.iter().filter(|other| other.exchange > write.exchange && other.call.name == write.call.name);
    for other in newer {
        let Some(committed) = other.call.committed else { continue };
        if committed <= write.call.received {
            report.violated("I3", format!("an older token after a newer one: {}", named(write.call)));
        } else if write.call.committed.is_some_and(|own| committed < own) {
            if write.call.verb == "create" {
                report.late_creates += 1;
            } else {
                report.violated("I3", format!("an older token over a newer one: {}", named(write.call)));
            }
        }
    }
}

fn is_alive(write: &Stored<'_>, report: &mut Report) {
    report.look("I4");
    let ends: Option<Timestamp> = annotation(&write.call.answer, "expires-at").parse().ok();
    if ends.is_some_and(|ends| ends <= write.call.received) {
        report.violated("I4", format!("a token that had ended: {}", named(write.call)));
    }
}

/// Whenever the same token stands there, the same times and the same fingerprint stand beside it, unless somebody
/// edited them.
fn change_together(history: &History, order: &HashMap<String, usize>, report: &mut Report) {
    let edited = history.deeds.iter().any(|deed| matches!(deed.what, What::Target { .. }));
    let mut beside: HashMap<String, [&str; 3]> = HashMap::new();
    for version in history.versions.iter().filter(|version| version.resource == "secrets" && !version.deleted) {
        let Some(token) = token(&version.object).filter(|token| order.contains_key(token)) else { continue };
        report.look("I8");
        let now = ["issued-at", "expires-at", "fingerprint"].map(|name| annotation(&version.object, name));
        let first = beside.entry(token).or_insert(now);
        if *first != now && !edited {
            report.violated("I8", format!("a token beside the times of another: {} {}", version.name, version.version));
        }
    }
    // Two tokens never have the same fingerprint: it is keyed by the token.
    let mut prints: Vec<&str> = beside.values().map(|[.., print]| *print).collect();
    prints.sort_unstable();
    if prints.windows(2).any(|pair| pair[0] == pair[1]) && !edited {
        report.violated("I8", "a token beside the fingerprint of another");
    }
}
