//! Classifies errors of requests to the API server, for the operator and for kubectl-apicredential.

use apicredential::reason::Reason;
use kube::core::Status;
use thiserror::Error;

/// Why a request failed, in the detail that messages need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404: the object does not exist.
    NotFound,
    /// 404 without an object: the API server does not serve the kind.
    NotServed,
    /// 409: an object with this name exists.
    AlreadyExists,
    /// 409: the object has another resourceVersion. 422: the object has another uid.
    Conflict,
    /// 401: the API server does not accept the login.
    Unauthenticated,
    /// 403: RBAC does not allow the request.
    Forbidden,
    /// 400, 403, 413 or 422: a quota, an admission policy or the validation of the API server rejects the object.
    Rejected,
    /// 403: the namespace is being deleted.
    NamespaceTerminating,
    /// Another HTTP status.
    UnexpectedStatus,
    /// The login or the certificates for the API server cannot be used.
    UnusableLogin,
    /// The response cannot be decoded.
    Undecodable,
    /// There was no complete response.
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
            // The message of RBAC names the user. Those of quotas and admission policies do not.
            403 if status.message.contains(" is forbidden: User ") => Self::Forbidden,
            401 => Self::Unauthenticated,
            // The object was deleted and created again, so its uid is not the one in the patch.
            422 if causes.iter().any(|cause| cause.field == "metadata.uid") => Self::Conflict,
            400 | 403 | 413 | 422 => Self::Rejected,
            _ => Self::UnexpectedStatus,
        }
    }
}

/// Why a request failed, in the detail that the operator's reaction needs. It contains no text from the API server, which can
/// quote what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The object does not exist.
    #[error("the object does not exist")]
    NotFound,
    /// The object exists already, or has another resourceVersion or uid than expected.
    #[error("the object has changed")]
    Conflict,
    /// The API server does not accept the login, or RBAC does not allow the request.
    #[error("the API server forbids the request")]
    Forbidden,
    /// A quota, an admission policy or the validation of the API server rejects the object.
    #[error("the API server rejects the object")]
    Rejected,
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// There was no response, or none that shows whether the request took effect.
    #[error("the API server is unavailable")]
    Unavailable,
}

impl ApiError {
    /// The reason for conditions and events.
    pub fn reason(self) -> Reason {
        match self {
            Self::Forbidden => Reason::Forbidden,
            Self::Rejected => Reason::TargetWriteRejected,
            Self::NotFound | Self::Conflict | Self::NamespaceTerminating | Self::Unavailable => Reason::ApiUnavailable,
        }
    }

    /// The value of the label `result` in metrics.
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

    fn kind(code: u16, reason: &str, message: &str, details: &serde_json::Value) -> ErrorKind {
        let status =
            json!({"status": "Failure", "code": code, "reason": reason, "message": message, "details": details});
        ErrorKind::of(&kube::Error::Api(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn a_status_is_classified_by_its_code_its_causes_and_its_message() {
        let cause = |field: &str, reason: &str| json!({"name": "a", "causes": [{"field": field, "reason": reason}]});
        let by_rbac = "secrets \"a\" is forbidden: User \"u\" cannot get resource \"secrets\"";
        let by_quota = "secrets \"a\" is forbidden: exceeded quota: q";
        for (code, reason, message, details, expected, api_error) in [
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
            let found = kind(code, reason, message, &details);
            assert_eq!((found, ApiError::from(found)), (expected, api_error), "{code} {reason} {message}");
        }
    }

    #[test]
    fn a_response_that_cannot_be_decoded_is_not_a_missing_response() {
        let error = serde_json::from_str::<bool>("1").unwrap_err();
        assert_eq!(ErrorKind::of(&kube::Error::SerdeError(error)), ErrorKind::Undecodable);
        assert_eq!(ErrorKind::of(&kube::Error::Service("cut".into())), ErrorKind::Unavailable);
    }
}
