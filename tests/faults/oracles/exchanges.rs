//! I2: every exchange has a cause, or is a try that the table of classes allows, or makes good for one whose outcome
//! was lost.

use std::time::Duration;

use apicredential_operator::rest::{self, Expiry, Life, Pace};
use jiff::Timestamp;

use super::{Credential, Report, annotation, credentials, plan, token};
use crate::history::{Exchange, History, Version, What};

/// The planned second is a whole one, and so is the second of sending.
const ROUNDING: Duration = Duration::from_secs(1);

pub fn judge(history: &History, report: &mut Report) {
    for credential in credentials(history) {
        let Some(client) = credential.client() else { continue };
        let exchanges: Vec<&Exchange> = history.exchanges.iter().filter(|exchange| exchange.client == client).collect();
        Account { history, credential, exchanges }.judge(report);
    }
}

/// The exchanges of one credential.
struct Account<'a> {
    history: &'a History,
    credential: Credential<'a>,
    exchanges: Vec<&'a Exchange>,
}

impl Account<'_> {
    fn judge(&self, report: &mut Report) {
        let mut lost = 0;
        for (number, exchange) in self.exchanges.iter().enumerate() {
            report.look("I2");
            let earlier = number.checked_sub(1).map(|number| self.exchanges[number]);
            match self.open_since(number) {
                None => report.violated("I2", format!("an exchange without a cause: {}", exchange.at)),
                Some(since) => {
                    if let Some(earlier) = earlier.filter(|earlier| earlier.at >= since) {
                        self.repeats(earlier, exchange, report);
                    }
                }
            }
            lost += usize::from(exchange.token.is_some() && self.stored(exchange).is_none());
        }
        let excuses = self.excuses();
        if lost > excuses {
            report
                .violated("I2", format!("{lost} tokens never reached the Secret, and {excuses} things can explain it"));
        }
    }

    /// Since when the exchange of that number has a cause that no earlier one has closed.
    fn open_since(&self, number: usize) -> Option<Timestamp> {
        let at = self.exchanges[number].at;
        let closing = self.exchanges[..number].iter().rev().find(|earlier| self.stored(earlier).is_some());
        let closed = closing.map_or(Timestamp::MIN, |earlier| earlier.at);
        let input = self.inputs().filter(|input| *input > closed && *input <= at).min();
        let due = closing.and_then(|closing| self.due(self.stored(closing)?)).filter(|due| *due <= at + ROUNDING);
        input.into_iter().chain(due).min()
    }

    /// When somebody asked for another token, or took the one that was there.
    fn inputs(&self) -> impl Iterator<Item = Timestamp> {
        let own = |credential: &String| credential == self.credential.name;
        self.history.deeds.iter().filter_map(move |deed| match &deed.what {
            What::Spec { credential, request: true } => own(credential).then_some(deed.at),
            What::Source { credential } | What::Target { credential } | What::Renew { credential } => {
                own(credential).then_some(deed.at)
            }
            _ => None,
        })
    }

    /// When a stored token is to be renewed.
    fn due(&self, stored: &Version) -> Option<Timestamp> {
        let text = |name| annotation(&stored.object, name);
        let issued = text("issued-at").parse().ok()?;
        let expiry = text("expires-at").parse().map_or(Expiry::Never, Expiry::At);
        let terms = &self.history.terms;
        let pace = Pace {
            retry_base: terms.retry_base,
            min_renewal_interval: terms.min_renewal_interval,
            resync: Duration::ZERO,
        };
        let policy = plan(self.credential.spec)?.renewal;
        rest::renewal_time(&Life { issued, expiry }, &policy, self.credential.uid, &pace)
    }

    /// Another try for the same cause: the earlier one failed and its delay is over, or its token was lost.
    fn repeats(&self, earlier: &Exchange, exchange: &Exchange, report: &mut Report) {
        let input_between = self.inputs().any(|input| input > earlier.at && input <= exchange.at);
        if input_between || earlier.token.is_some() {
            return;
        }
        let multiple = match earlier.status {
            Some(400..=499) if earlier.status != Some(408) => 12,
            _ => 1,
        };
        // After a restart a delay is known to the second only.
        let least = (self.history.terms.retry_base * multiple / 2).saturating_sub(Duration::from_millis(20));
        let passed = exchange.at.duration_since(earlier.at);
        if passed < jiff::SignedDuration::try_from(least).unwrap_or_default() {
            report.violated("I2", format!("another try after {passed}, sooner than {least:?}: {}", exchange.at));
        }
    }

    /// The first version that holds the token of an exchange.
    fn stored(&self, exchange: &Exchange) -> Option<&Version> {
        let token_of = exchange.token.as_ref()?;
        let mut versions = self.history.versions_of("secrets", self.credential.target());
        versions.find(|version| !version.deleted && token(&version.object).as_ref() == Some(token_of))
    }

    /// What can make a token useless before it is stored, or lose it on its way.
    fn excuses(&self) -> usize {
        let own = |credential: &String| usize::from(credential == self.credential.name);
        let deeds = self.history.deeds.iter().take_while(|deed| deed.what != What::Converged);
        let excuses = deeds.map(|deed| match &deed.what {
            What::Fault { .. } | What::Ended { .. } | What::Told { .. } | What::Paused { .. } => 1,
            What::Source { credential } | What::Spec { credential, .. } | What::Deleted { credential } => {
                own(credential)
            }
            _ => 0,
        });
        // The first values and the first spec are no change.
        excuses.sum::<usize>().saturating_sub(2)
    }
}
