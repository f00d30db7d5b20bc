//! What a failed call to the API server means: one classification for the operator and for kubectl-apicredential.

use apicredential::reason::Reason;
use kube::core::Status;
use thiserror::Error;

/// Why a call failed, as finely as messages to people differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404 for an object.
    NotFound,
    /// 404 for the path: the API server does not serve the kind.
    NotServed,
    /// 409 for a name that is taken.
    AlreadyExists,
    /// 409 for another resourceVersion; 422 for another uid.
    Conflict,
    /// 401.
    Unauthenticated,
    /// 403 by RBAC.
    Forbidden,
    /// Quota, an admission policy, or the API server's own validation.
    Rejected,
    /// 403 because the namespace is being deleted.
    NamespaceTerminating,
    /// Another status than those above.
    UnexpectedStatus,
    /// The credentials or certificates for the API server cannot be used.
    UnusableLogin,
    /// The response has another form than expected.
    Undecodable,
    /// No response, or none that is complete.
    Unavailable,
}

impl ErrorKind {
    /// Classifies an error of the client.
    pub fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status),
            kube::Error::Auth(_) | kube::Error::RustlsTls(_) | kube::Error::InferKubeconfig(_) => Self::UnusableLogin,
            kube::Error::SerdeError(_) => Self::Undecodable,
            _ => Self::Unavailable,
        }
    }

    /// Classifies a response that reports a failure.
    pub fn of_status(status: &Status) -> Self {
        let details = status.details.as_ref();
        let causes = details.map_or(&[][..], |details| &details.causes);
        match status.code {
            404 if details.is_none_or(|details| details.name.is_empty()) => Self::NotServed,
            404 => Self::NotFound,
            409 if status.reason == "AlreadyExists" => Self::AlreadyExists,
            409 => Self::Conflict,
            403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => Self::NamespaceTerminating,
            // RBAC names the user and the verb; quota and admission policies do not.
            403 if status.message.contains(" is forbidden: User ") => Self::Forbidden,
            401 => Self::Unauthenticated,
            // A uid in the patch that is not the object's: the object was deleted and created again.
            422 if causes.iter().any(|cause| cause.field == "metadata.uid") => Self::Conflict,
            400 | 403 | 413 | 422 => Self::Rejected,
            _ => Self::UnexpectedStatus,
        }
    }
}

/// Why a call failed, as the operator reacts to it. Nothing of the API server's text is kept: it can quote what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ApiError {
    /// 404.
    #[error("the object does not exist")]
    NotFound,
    /// 409: another version, or it exists already; 422 for another uid.
    #[error("the object has changed")]
    Conflict,
    /// 403 by RBAC.
    #[error("the API server forbids the request")]
    Forbidden,
    /// Quota, an admission policy, or the API server's own validation.
    #[error("the API server rejects the object")]
    Rejected,
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// No answer, or none that says whether the request took effect.
    #[error("the API server did not answer")]
    Unavailable,
}

impl ApiError {
    /// The reason to report.
    pub fn reason(self) -> Reason {
        match self {
            Self::Forbidden => Reason::Forbidden,
            Self::Rejected => Reason::TargetWriteRejected,
            Self::NotFound | Self::Conflict | Self::NamespaceTerminating | Self::Unavailable => Reason::ApiUnavailable,
        }
    }

    /// The metric label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Unavailable => "unavailable",
        }
    }

    pub(super) fn of(error: &kube::Error) -> Self {
        ErrorKind::of(error).into()
    }
}

impl From<ErrorKind> for ApiError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound | ErrorKind::NotServed => Self::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Unauthenticated | ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::Rejected => Self::Rejected,
            ErrorKind::NamespaceTerminating => Self::NamespaceTerminating,
            ErrorKind::UnexpectedStatus
            | ErrorKind::UnusableLogin
            | ErrorKind::Undecodable
            | ErrorKind::Unavailable => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(code: u16, reason: &str, message: &str, details: serde_json::Value) -> ErrorKind {
        let status =
            json!({"status": "Failure", "code": code, "reason": reason, "message": message, "details": details});
        ErrorKind::of(&kube::Error::Api(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn a_status_is_classified_by_what_can_be_done_about_it() {
        let cause = |field: &str, reason: &str| json!({"name": "a", "causes": [{"field": field, "reason": reason}]});
        let by_rbac = "secrets \"a\" is forbidden: User \"u\" cannot get resource \"secrets\"";
        let by_quota = "secrets \"a\" is forbidden: exceeded quota: q";
        for (code, reason, message, details, expected, fault) in [
            (404, "NotFound", "", json!({"name": "a"}), ErrorKind::NotFound, ApiError::NotFound),
            (404, "", "404 page not found", json!({}), ErrorKind::NotServed, ApiError::NotFound),
            (404, "", "404 page not found", json!(null), ErrorKind::NotServed, ApiError::NotFound),
            (409, "AlreadyExists", "", json!({"name": "a"}), ErrorKind::AlreadyExists, ApiError::Conflict),
            (409, "Conflict", "", json!({"name": "a"}), ErrorKind::Conflict, ApiError::Conflict),
            (422, "Invalid", "", cause("metadata.uid", "FieldValueInvalid"), ErrorKind::Conflict, ApiError::Conflict),
            (422, "Invalid", "", cause("spec", "FieldValueInvalid"), ErrorKind::Rejected, ApiError::Rejected),
            (401, "Unauthorized", "", json!({}), ErrorKind::Unauthenticated, ApiError::Forbidden),
            (403, "Forbidden", by_rbac, json!({}), ErrorKind::Forbidden, ApiError::Forbidden),
            (403, "Forbidden", by_quota, json!({}), ErrorKind::Rejected, ApiError::Rejected),
            (
                403,
                "Forbidden",
                "",
                cause("", "NamespaceTerminating"),
                ErrorKind::NamespaceTerminating,
                ApiError::NamespaceTerminating,
            ),
            (413, "", "", json!({}), ErrorKind::Rejected, ApiError::Rejected),
            (503, "", "", json!({}), ErrorKind::UnexpectedStatus, ApiError::Unavailable),
        ] {
            let found = kind(code, reason, message, details);
            assert_eq!((found, ApiError::from(found)), (expected, fault), "{code} {reason} {message}");
        }
    }

    #[test]
    fn a_response_that_cannot_be_decoded_is_not_a_missing_response() {
        let error = serde_json::from_str::<bool>("1").unwrap_err();
        assert_eq!(ErrorKind::of(&kube::Error::SerdeError(error)), ErrorKind::Undecodable);
        assert_eq!(ErrorKind::of(&kube::Error::Service("cut".into())), ErrorKind::Unavailable);
    }
}
