//! I9: there are no hot loops. The requests of a replica for an object are bounded by what there was to do: its
//! exchanges, and what users and faults did.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Report;
use super::records::Records;
use crate::history::{Timings, What};

/// In this window …
const SOON: Duration = Duration::from_secs(10);
/// … an object is written once before and once after an exchange, its event likewise, and each of them once more after
/// a conflict or a lost response …
const WRITES_EACH: usize = 4;
/// … and what was begun before the window may end in it. A minute is long enough to distinguish reads from a watch
/// that has ended.
const MINUTE: Duration = Duration::from_secs(60);
/// A reconcile reads an object once, once more before a write, and once after a conflict or a lost response; then there
/// is the reconcile that the write itself causes.
const READS_EACH: usize = 4;
/// A lease is renewed six times in its time.
const RENEWALS: u32 = 6;

pub fn check(records: &Records<'_>, report: &mut Report) {
    let timings = &records.history.timings;
    // A problem that lasts is reconciled again after 12 times the base, and may be reported once more each time.
    let reconciles =
        |window: Duration| usize::try_from(window.as_millis() / retry_delay(timings).as_millis()).unwrap_or(1);
    let writes = Bound { window: SOON, always: 4 + reconciles(SOON), each: WRITES_EACH };
    let reads = Bound { window: MINUTE, always: 4 + 2 * reconciles(MINUTE), each: READS_EACH };
    let mut times: BTreeMap<(bool, &str, &str), Vec<Timestamp>> = BTreeMap::new();
    for call in &records.history.calls {
        if call.resource == "leases" || matches!(call.verb.as_str(), "list" | "watch") {
            continue;
        }
        times.entry((call.verb != "get", &call.resource, &call.name)).or_default().push(call.received);
    }
    for ((is_write, resource, name), times) in times {
        report.count("I9");
        let (bound, verb) = if is_write { (&writes, "written") } else { (&reads, "read") };
        if let Some((count, from)) = bound.broken(&times, records) {
            let window = bound.window;
            report.violated("I9", format!("{resource} {name} is {verb} {count} times within {window:?} from {from}"));
        }
    }
    leases(records, report);
}

fn retry_delay(timings: &Timings) -> Duration {
    (timings.retry_base * 12).max(Duration::from_millis(1))
}

/// The number of requests allowed in any such window: some always, and some for each thing that there was to do.
struct Bound {
    window: Duration,
    always: usize,
    each: usize,
}

impl Bound {
    /// The first window with too many: how many, and from when.
    fn broken(&self, times: &[Timestamp], records: &Records<'_>) -> Option<(usize, Timestamp)> {
        times.iter().enumerate().find_map(|(first, from)| {
            let count = times[first..].iter().take_while(|time| **time < *from + self.window).count();
            let allowed = self.always + self.each * to_do(records, *from - self.window, *from + self.window);
            (count > allowed).then_some((count, *from))
        })
    }
}

/// What there was to do in that time.
fn to_do(records: &Records<'_>, from: Timestamp, to: Timestamp) -> usize {
    let history = records.history;
    let within = |at: Timestamp| from <= at && at <= to;
    let exchanges = history.exchanges.iter().filter(|exchange| within(exchange.at)).count();
    let interventions =
        history.interventions.iter().filter(|intervention| !matches!(intervention.what, What::Calm | What::Converged));
    exchanges + interventions.filter(|intervention| within(intervention.at)).count()
}

/// A replica renews its lease every sixth of it. When disturbed, it takes, releases or retries it once more.
fn leases(records: &Records<'_>, report: &mut Report) {
    let lease = records.history.timings.lease_duration;
    let mut times: BTreeMap<usize, Vec<Timestamp>> = BTreeMap::new();
    for call in records.history.calls.iter().filter(|call| call.resource == "leases" && call.verb != "get") {
        times.entry(call.replica).or_default().push(call.received);
    }
    for (replica, times) in times {
        report.count("I9");
        for (first, from) in times.iter().enumerate() {
            let until = *from + lease;
            let count = times[first..].iter().take_while(|time| **time < until).count();
            let interventions =
                records.history.interventions.iter().filter(|intervention| intervention.what.disturbs());
            let interventions = interventions
                .filter(|intervention| intervention.at + lease >= *from && intervention.at <= until)
                .count();
            if count > usize::try_from(RENEWALS).unwrap_or(0) + 1 + 2 * interventions {
                let wrong = format!("replica {replica} writes its lease {count} times within {lease:?} from {from}");
                report.violated("I9", wrong);
                break;
            }
        }
    }
}
