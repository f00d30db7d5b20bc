//! The status of an ApiCredential and its conditions.

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The status, or the default if the operator has not written one yet.
pub fn status(credential: &ApiCredential) -> ApiCredentialStatus {
    credential.status.as_deref().cloned().unwrap_or_default()
}

/// Whether it is the condition that the CRD gives to a new ApiCredential.
pub fn is_initial(condition: &Condition) -> bool {
    condition.type_ == "Ready" && condition.status == "Unknown"
}

/// The condition of that type.
pub fn condition<'a>(status: &'a ApiCredentialStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition has the status of a healthy ApiCredential.
pub fn is_healthy(condition: &Condition) -> bool {
    condition.status == healthy_status(&condition.type_)
}

/// `True`, except for the two abnormal-true conditions `Reconciling` and `Stalled`.
pub fn healthy_status(type_: &str) -> &'static str {
    if ["Reconciling", "Stalled"].contains(&type_) { "False" } else { "True" }
}
