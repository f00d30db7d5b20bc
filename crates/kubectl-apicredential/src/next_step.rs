//! What happens next to an ApiCredential, and when. Pure: the caller passes the current time.

use apicredential::api::ApiCredential;
use apicredential::reason::{Class, Reason};
use jiff::Timestamp;
use serde::Serialize;

use crate::conditions::{condition, status};
use crate::durations;

/// The operator acts on a due ApiCredential at once. A step that is later than this is reported as overdue.
const GRACE_SECONDS: i64 = 120;

pub const DOCTOR_HINT: &str = "check the operator with: kubectl apicredential doctor";

/// The next step of the operator for an ApiCredential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Whether it should have happened already.
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

/// The next step, derived from the spec and the status.
pub fn next_step(credential: &ApiCredential, now: Timestamp) -> NextStep {
    let status = status(credential);
    if credential.metadata.deletion_timestamp.is_some() {
        return NextStep::without_time("deletion is in progress");
    }
    // The CRD defaults observedGeneration to -1 until the operator has written a status.
    let Some(observed) = status.observed_generation.filter(|observed| *observed >= 0) else {
        let since = credential.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        return NextStep { time: None, ..NextStep::at(since, now, "the first reconcile") };
    };
    if credential.metadata.generation.is_some_and(|generation| generation > observed) {
        return NextStep::without_time(format!("the operator has not reconciled the last change yet; {DOCTOR_HINT}"));
    }
    if credential.spec.suspend {
        return NextStep::without_time("nothing, until spec.suspend is false");
    }
    if let Some(stalled) = condition(&status, "Stalled")
        && Reason::parse(&stalled.reason).is_some_and(|reason| reason.class() == Class::Local)
    {
        return NextStep::without_time(format!("nothing, until the cause of {} is fixed", stalled.reason));
    }
    if let Some(time) = &status.next_attempt_time {
        return NextStep::at(time.0, now, "retry");
    }
    match (&status.renewal_time, &status.token) {
        (Some(time), _) => NextStep::at(time.0, now, "renewal"),
        (None, Some(token)) if token.expiration_time.is_none() => {
            NextStep::without_time("nothing: the token never expires, and spec.renewal.maxAge is not set")
        }
        _ => NextStep::without_time("a token exchange, as soon as the rate limit permits it"),
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
    fn a_planned_step_has_its_time() {
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
        assert_eq!(retry.what, "retry in 30s");
        assert_eq!(next_after(|it| it["status"]["renewalTime"] = json!(after(-60))).what, "renewal is due now");
    }

    #[test]
    fn an_overdue_step_suggests_doctor() {
        let late = next_after(|it| it["status"]["renewalTime"] = json!(after(-3600)));
        assert!(late.overdue && late.what.contains("was due 60m ago; check the operator"), "{late:?}");
        let unseen = next_after(|it| {
            it["status"] = json!(apicredential::api::ApiCredentialStatus::initial());
            it["metadata"]["creationTimestamp"] = json!(after(-3600));
        });
        assert!(unseen.overdue && unseen.what.starts_with("the first reconcile was due"), "{unseen:?}");
        assert!(
            next_after(|it| it["metadata"]["generation"] = json!(3))
                .what
                .contains("has not reconciled the last change")
        );
    }

    #[test]
    fn a_step_that_waits_for_the_user_names_the_cause() {
        assert_eq!(next_after(|it| it["spec"]["suspend"] = json!(true)).what, "nothing, until spec.suspend is false");
        let condition = |reason: &str| json!([{"type": "Stalled", "status": "True", "reason": reason, "message": "Do this.", "lastTransitionTime": NOW}]);
        let local = next_after(|it| it["status"]["conditions"] = condition("SourceKeyMissing"));
        assert_eq!(local.what, "nothing, until the cause of SourceKeyMissing is fixed");
        // The operator still retries at the provider.
        let rejected = next_after(|it| {
            it["status"]["conditions"] = condition("CredentialsRejected");
            it["status"]["nextAttemptTime"] = json!(after(60));
        });
        assert_eq!(rejected.what, "retry in 60s");
    }
}
