//! The quiet time: once the run has converged, nothing is written.

use std::time::{Duration, Instant};

use crate::support::fault_proxy::{Call, Log};

/// How long nothing may be written once the run has converged.
const QUIET: Duration = Duration::from_secs(2);
/// The writes that belong to the run are over when none has come for this long.
const SETTLED: Duration = Duration::from_secs(2);
/// How often the log is read.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until the writes that belong to the run are over, and returns their number. The caller bounds the time.
///
/// The objects may be as they should be before the operator knows it: the fault proxy may still hold back the reply to
/// a write or the watch events about it, and the operator continues, for example with the event that follows a status,
/// only after that. So the time without a write begins when the fault proxy holds nothing back and every operator has
/// responded to a request since (`answers`), which shows that it is running, on a slow machine too.
pub async fn settle(log: &Log, mut answers: impl AsyncFnMut() -> bool) -> usize {
    let mut seen = log.writes().len();
    let mut since: Option<Instant> = None;
    loop {
        let writes = log.writes().len();
        let changed = std::mem::replace(&mut seen, writes) != writes;
        if log.holds_back() || changed {
            since = None;
        } else if since.is_none() {
            since = answers().await.then(Instant::now);
        }
        if since.is_some_and(|since| since.elapsed() >= SETTLED) {
            return writes;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The writes that come until the end of the quiet time, which begins now, after the `first` writes of the run.
pub async fn surplus(log: &Log, first: usize) -> Vec<Call> {
    tokio::time::sleep(QUIET).await;
    log.writes().split_off(first)
}

/// The writes in one line, for a failure's text.
pub fn named(writes: &[Call]) -> String {
    let named = writes.iter().map(|call| {
        let (verb, resource, name) = call.kind();
        format!("{verb} {resource} {name} by replica {} at {}", call.replica, call.received)
    });
    named.collect::<Vec<_>>().join(", ")
}
