//! What happens next, and when. Pure: the time is given.

use apicredential::api::ApiCredential;
use apicredential::reason::{Class, Reason};
use jiff::Timestamp;
use serde::Serialize;

use crate::conditions::{condition, status};
use crate::durations;

/// Who waits longer than this for the operator waits in vain: it looks at what is due at once.
const GRACE_SECONDS: i64 = 120;

pub const DOCTOR_HINT: &str = "kubectl apicredential doctor says whether an operator is at work";

/// The next thing that happens to a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// It ought to have happened already.
    pub overdue: bool,
}

impl NextStep {
    fn without_time(what: impl Into<String>) -> Self {
        Self { what: what.into(), time: None, overdue: false }
    }

    fn at(time: Timestamp, now: Timestamp, what: &str) -> Self {
        let late = now.duration_since(time).as_secs();
        let overdue = late > GRACE_SECONDS;
        let what = if overdue {
            format!("{what} was due {}; {DOCTOR_HINT}", durations::relative(time, now))
        } else if late >= 0 {
            format!("{what} is due now")
        } else {
            format!("{what} {}", durations::relative(time, now))
        };
        Self { what, time: Some(time), overdue }
    }
}

/// What happens next to it.
pub fn next_step(credential: &ApiCredential, now: Timestamp) -> NextStep {
    let status = status(credential);
    if credential.metadata.deletion_timestamp.is_some() {
        return NextStep::without_time("it is being deleted");
    }
    // The default before anybody has looked is -1.
    let Some(observed) = status.observed_generation.filter(|observed| *observed >= 0) else {
        let since = credential.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        return NextStep { time: None, ..NextStep::at(since, now, "the first look") };
    };
    if credential.metadata.generation.is_some_and(|generation| generation > observed) {
        return NextStep::without_time(format!("the operator has not looked at the last change yet; {DOCTOR_HINT}"));
    }
    if credential.spec.suspend {
        return NextStep::without_time("nothing, until spec.suspend is false");
    }
    if let Some(stalled) = condition(&status, "Stalled")
        && Reason::parse(&stalled.reason).is_some_and(|reason| reason.class() == Class::Local)
    {
        return NextStep::without_time(format!("nothing, until somebody acts on {}", stalled.reason));
    }
    if let Some(time) = &status.next_attempt_time {
        return NextStep::at(time.0, now, "another try");
    }
    match (&status.renewal_time, &status.token) {
        (Some(time), _) => NextStep::at(time.0, now, "renewal"),
        (None, Some(token)) if token.expiration_time.is_none() => {
            NextStep::without_time("nothing: the token never expires, and spec.renewal.maxAge is not set")
        }
        _ => NextStep::without_time("an exchange, as soon as the operator may"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn next_after(change: impl FnOnce(&mut Value)) -> NextStep {
        let mut credential = json!({
            "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential",
            "metadata": {"name": "a", "namespace": "ns", "generation": 2, "creationTimestamp": NOW},
            "spec": {
                "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "login"}}},
                "target": {"name": "a-token"},
            },
            "status": {"observedGeneration": 2, "token": {"issuedTime": NOW, "type": "Bearer"}},
        });
        change(&mut credential);
        next_step(&serde_json::from_value(credential).unwrap(), NOW)
    }

    fn after(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn what_is_planned_is_told_with_its_time() {
        assert!(next_after(|_| {}).what.starts_with("nothing: the token never expires"));
        let planned = next_after(|it| it["status"]["renewalTime"] = json!(after(2400)));
        assert_eq!(
            (planned.what.as_str(), planned.time, planned.overdue),
            ("renewal in 40m", Some(after(2400)), false)
        );
        let retry = next_after(|it| {
            it["status"]["renewalTime"] = json!(after(2400));
            it["status"]["nextAttemptTime"] = json!(after(30));
        });
        assert_eq!(retry.what, "another try in 30s");
        assert_eq!(next_after(|it| it["status"]["renewalTime"] = json!(after(-60))).what, "renewal is due now");
    }

    #[test]
    fn what_should_have_happened_leads_to_the_doctor() {
        let late = next_after(|it| it["status"]["renewalTime"] = json!(after(-3600)));
        assert!(late.overdue && late.what.contains("was due 60m ago; kubectl apicredential doctor"), "{late:?}");
        let unseen = next_after(|it| {
            it["status"] = json!({"observedGeneration": -1});
            it["metadata"]["creationTimestamp"] = json!(after(-3600));
        });
        assert!(unseen.overdue && unseen.what.starts_with("the first look was due"), "{unseen:?}");
        assert!(
            next_after(|it| it["metadata"]["generation"] = json!(3)).what.contains("has not looked at the last change")
        );
    }

    #[test]
    fn what_waits_for_somebody_says_for_what() {
        assert_eq!(next_after(|it| it["spec"]["suspend"] = json!(true)).what, "nothing, until spec.suspend is false");
        let condition = |reason: &str| json!([{"type": "Stalled", "status": "True", "reason": reason, "message": "Do this.", "lastTransitionTime": NOW}]);
        let local = next_after(|it| it["status"]["conditions"] = condition("SourceKeyMissing"));
        assert_eq!(local.what, "nothing, until somebody acts on SourceKeyMissing");
        // The provider is asked again all the same.
        let rejected = next_after(|it| {
            it["status"]["conditions"] = condition("CredentialsRejected");
            it["status"]["nextAttemptTime"] = json!(after(60));
        });
        assert_eq!(rejected.what, "another try in 60s");
    }
}
