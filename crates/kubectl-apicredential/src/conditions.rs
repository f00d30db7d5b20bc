//! What a credential's status says, as every command shows it.

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::span;

/// One credential, in one line.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub namespace: String,
    pub name: String,
    pub provider: &'static str,
    pub secret: String,
    pub suspended: bool,
    /// `True`, `False`, or `Unknown` before the operator has said anything.
    pub ready: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Absent without a token and for one that never expires.
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

impl Line {
    pub fn of(credential: &ApiCredential) -> Self {
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

    /// `57m`, `never`, `expired 3m ago`; empty without a token.
    pub fn expires_in(&self, now: Timestamp) -> String {
        match self.expiration_time {
            Some(time) if time > now => span::span(now, time),
            Some(time) => format!("expired {}", span::relative(time, now)),
            None if self.never_expires => "never".to_owned(),
            None => String::new(),
        }
    }

    /// When the provider is asked next: `37m`, `37m (retry)`, `due 3m ago`, `suspended`; empty if nothing is planned.
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
            format!("{}{kind}", span::span(now, time))
        } else {
            format!("due {}{kind}", span::relative(time, now))
        }
    }
}

/// What the operator says; nothing yet is the default.
pub fn status(credential: &ApiCredential) -> ApiCredentialStatus {
    credential.status.clone().unwrap_or_default()
}

/// The condition of that type.
pub fn condition<'a>(status: &'a ApiCredentialStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether that is what one wants of a condition: all want to be True but the two that tell of trouble.
pub fn is_good(condition: &Condition) -> bool {
    condition.status == good(&condition.type_)
}

/// The status that one wants of a condition of that type.
pub fn good(type_: &str) -> &'static str {
    if ["Reconciling", "Stalled"].contains(&type_) { "False" } else { "True" }
}
