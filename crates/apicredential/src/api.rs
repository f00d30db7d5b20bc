//! The `ApiCredential` resource: what a user requests, and what the operator reports about it.
//!
//! The doc comments of [`spec`] and [`status`] are what `kubectl explain apicred` prints. The bounds and rules are in
//! [`validation`]: the API server enforces them, and [`crate::plan`] checks them again before the operator acts.

mod crd;
mod spec;
mod status;
pub mod validation;

pub use crate::providers::{Provider, ProviderSpec, QontakKeys, QontakSpec, SecretRef, WelkinKeys, WelkinSpec};
pub use crd::{crd, crd_yaml};
pub use spec::{
    ApiCredential, ApiCredentialSpec, CreationPolicy, RenewalSpec, TargetMetadata, TargetSpec, VerificationSpec,
};
pub use status::{
    ApiCredentialStatus, LastAttempt, SourceVersion, StoredStatus, TargetStatus, TokenStatus, VerificationStatus,
    condition_type,
};
