//! The status of an ApiCredential and its conditions.

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// What the operator says; nothing yet is the default.
pub fn status(credential: &ApiCredential) -> ApiCredentialStatus {
    credential.status.clone().unwrap_or_default()
}

/// The condition of that type.
pub fn condition<'a>(status: &'a ApiCredentialStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether that is what one wants of a condition: all want to be True but the two that tell of trouble.
pub fn is_healthy(condition: &Condition) -> bool {
    condition.status == healthy_status(&condition.type_)
}

/// The status that one wants of a condition of that type.
pub fn healthy_status(type_: &str) -> &'static str {
    if ["Reconciling", "Stalled"].contains(&type_) { "False" } else { "True" }
}
