//! The fields that `list` shows of an ApiCredential.

use apicredential::api::ApiCredential;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::conditions::{condition, status};
use crate::durations;

/// One row of the list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListRow {
    pub namespace: String,
    pub name: String,
    pub provider: &'static str,
    pub secret: String,
    pub suspended: bool,
    /// `True`, `False`, or `Unknown` before the operator has set the condition.
    pub ready: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Absent if there is no token, or if the token never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Timestamp>,
    pub never_expires: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt_time: Option<Timestamp>,
    pub failed_attempts: i32,
}

impl ListRow {
    pub fn new(credential: &ApiCredential) -> Self {
        let status = status(credential);
        let ready = condition(&status, "Ready");
        let expiration_time = status.token.as_ref().and_then(|token| Some(token.expiration_time.as_ref()?.0));
        Self {
            namespace: credential.namespace().unwrap_or_default(),
            name: credential.name_any(),
            provider: credential.spec.provider.type_.as_str(),
            secret: credential.spec.target.name.clone(),
            suspended: credential.spec.suspend,
            ready: ready.map_or("Unknown", |ready| &ready.status).to_owned(),
            reason: ready.map(|ready| ready.reason.clone()),
            message: ready.map(|ready| ready.message.clone()),
            expiration_time,
            never_expires: status.token.is_some() && expiration_time.is_none(),
            renewal_time: status.renewal_time.map(|time| time.0),
            next_attempt_time: status.next_attempt_time.map(|time| time.0),
            last_attempt_time: status.last_attempt.map(|attempt| attempt.time.0),
            failed_attempts: status.failed_attempts.unwrap_or(0),
        }
    }

    /// `57m`, `never` or `expired 3m ago`; empty if there is no token.
    pub fn expires_in(&self, now: Timestamp) -> String {
        match self.expiration_time {
            Some(time) if time > now => durations::between(now, time),
            Some(time) => format!("expired {}", durations::relative(time, now)),
            None if self.never_expires => "never".to_owned(),
            None => String::new(),
        }
    }

    /// The time of the next token request: `37m`, `37m (retry)`, `due 3m ago` or `suspended`; empty if none is planned.
    pub fn next_renewal(&self, now: Timestamp) -> String {
        if self.suspended {
            return "suspended".to_owned();
        }
        let (time, kind) = match (self.next_attempt_time, self.renewal_time) {
            (Some(time), _) => (time, " (retry)"),
            (None, Some(time)) => (time, ""),
            (None, None) => return String::new(),
        };
        if time > now {
            format!("{}{kind}", durations::between(now, time))
        } else {
            format!("due {}{kind}", durations::relative(time, now))
        }
    }
}
