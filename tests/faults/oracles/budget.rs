//! I7: the endpoint's rate, and the budget of rejected attempts.

use std::time::Duration;

use super::Report;
use super::causes::Causes;
use super::outcomes::{Class, TRIES};
use super::records::Records;
use crate::history::{Exchange, Timings, What};

/// Requests that were sent at different times may arrive at once: at most this many seconds late.
const IN_TRANSIT: f64 = 1.0;

/// At most `burst + rate × W` requests in every window W, of all clients together. A replica that was started, or that
/// takes over, has a burst of its own.
pub fn check(records: &Records<'_>, report: &mut Report) {
    let Timings { provider_rate: rate, provider_burst: burst, .. } = records.history.timings;
    let exchanges = &records.history.exchanges;
    for (first, Exchange { at: from, .. }) in exchanges.iter().enumerate().filter(|_| rate > 0.0) {
        report.count("I7");
        for (count, Exchange { at: to, .. }) in (1_u32..).zip(&exchanges[first..]) {
            let interventions = records
                .history
                .interventions
                .iter()
                .filter(|intervention| intervention.at >= *from && intervention.at <= *to);
            let takeovers = interventions.filter(|intervention| changes_hands(&intervention.what)).count();
            let bursts = f64::from(burst) * f64::from(1 + u32::try_from(takeovers).unwrap_or(u32::MAX));
            let window = to.duration_since(*from).as_secs_f64() + IN_TRANSIT;
            if f64::from(count) > bursts + rate * window {
                report.violated("I7", format!("{count} exchanges from {from} to {to} are more than the rate allows"));
                return;
            }
        }
    }
}

fn changes_hands(what: &What) -> bool {
    matches!(what, What::Started { .. } | What::Ended { .. } | What::Terminated { .. } | What::Paused { .. })
}

/// The exchanges of one ApiCredential: if rejected, five attempts at growing intervals, and then one in a long while,
/// for a provider may lock an account.
pub fn rejected(records: &Records<'_>, name: &str, own: &[usize], causes: &Causes<'_>, report: &mut Report) {
    let mut row: Vec<&Exchange> = Vec::new();
    // As many of the series as the operator certainly remembers.
    let mut sure = 0;
    for exchange in own.iter().map(|number| &records.history.exchanges[*number]) {
        if Class::of(exchange) != Some(Class::Rejected) {
            row.clear();
            continue;
        }
        report.count("I7");
        if row.last().is_none_or(|last| causes.inputs_between(last.at, exchange.at)) {
            row.clear();
            sure = 0;
        }
        if let Some(last) = row.last() {
            // A lost write of the status, or an end before it was written, loses one count, and that one's delay.
            let disturbed = records.is_disturbed(last.at, exchange.at);
            sure -= u32::from(disturbed);
            let least =
                if disturbed { Duration::ZERO } else { Class::Rejected.least_delay(sure, &records.history.timings) };
            if exchange.at < last.at + least {
                let (number, at) = (row.len() + 1, exchange.at);
                let wrong = format!("try {number} of {name} with a rejected login, at {at}, is sooner than {least:?}");
                report.violated("I7", wrong);
            }
        }
        sure = (sure + 1).min(TRIES);
        row.push(exchange);
    }
}
