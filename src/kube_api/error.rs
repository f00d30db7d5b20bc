//! Classifies errors of requests to the API server, for the operator and for kubectl-apicredential.

use apicredential::reason::{Reason, Refusal};
use kube::core::Status;
use thiserror::Error;

use super::webhook::{WebhookError, WebhookOutcome};

/// A 401, as the log reports it.
pub const UNAUTHORIZED: &str = "the API server does not accept the operator's login (401); a new token is read from its file, and the request is retried";

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
    /// 400, 403, 413 or 422: a quota, an admission policy or the validation of the API server rejects the object. Any status: an
    /// admission webhook denies it.
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
        // First of all, because a webhook chooses code and text of its denial.
        if let Some(error) = WebhookError::of(status) {
            return match error.outcome {
                WebhookOutcome::Denied => Self::Rejected,
                WebhookOutcome::Failed => Self::UnexpectedStatus,
            };
        }
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
/// quote what was sent, except the name of an admission webhook.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The object does not exist.
    #[error("the object does not exist")]
    NotFound,
    /// The object exists already, or has another resourceVersion or uid than expected.
    #[error("the object has changed")]
    Conflict,
    /// The API server does not accept the login.
    #[error("{UNAUTHORIZED}")]
    Unauthorized,
    /// RBAC does not allow the request.
    #[error("the API server forbids the request")]
    Forbidden,
    /// A quota, an admission policy or the validation of the API server rejects the object.
    #[error("the API server rejects the object")]
    Rejected,
    /// An admission webhook denied the request, or failed.
    #[error("an admission webhook kept the API server from storing the object")]
    Webhook(WebhookError),
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// There was no response, or none that shows whether the request took effect.
    #[error("the API server is unavailable")]
    Unavailable,
}

impl ApiError {
    /// The reason for conditions and events.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unauthorized => Reason::Unauthorized,
            Self::Forbidden => Reason::Forbidden,
            Self::Rejected | Self::Webhook(_) => Reason::TargetWriteRejected,
            Self::NotFound | Self::Conflict | Self::NamespaceTerminating | Self::Unavailable => Reason::ApiUnavailable,
        }
    }

    /// The reason with its message, which names the admission webhook if there is one.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Webhook(WebhookError { name, outcome }) => Refusal::new(
                self.reason(),
                match outcome {
                    WebhookOutcome::Denied => format!(
                        "An admission webhook denied the write of the target Secret. It is {name:?}; ask its administrator to permit the write. The operator retries."
                    ),
                    WebhookOutcome::Failed => format!(
                        "An admission webhook failed at the write of the target Secret. It is {name:?}; check that it runs and answers within its timeout. The operator retries."
                    ),
                },
            ),
            _ => self.reason().into(),
        }
    }

    /// The value of the label `result` in metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
            Self::Webhook(WebhookError { outcome: WebhookOutcome::Denied, .. }) => "webhook_denied",
            Self::Webhook(WebhookError { outcome: WebhookOutcome::Failed, .. }) => "webhook_failed",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Unavailable => "unavailable",
        }
    }

    pub(super) fn of(error: &kube::Error) -> Self {
        let webhook = match error {
            kube::Error::Api(status) => WebhookError::of(status),
            _ => None,
        };
        webhook.map_or_else(|| ErrorKind::of(error).into(), Self::Webhook)
    }
}

impl From<ErrorKind> for ApiError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound | ErrorKind::NotServed => Self::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Unauthenticated => Self::Unauthorized,
            ErrorKind::Forbidden => Self::Forbidden,
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
            (401, "Unauthorized", "", json!({}), ErrorKind::Unauthenticated, ApiError::Unauthorized),
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
    fn a_webhook_is_distinguished_from_an_api_server_that_does_not_answer() {
        let denied = "admission webhook \"a.example.com\" denied the request: secrets is forbidden: User \"u\" token-7";
        let failed = "Internal error occurred: failed calling webhook \"a.example.com\": token-7";
        let terminating = json!({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.uid"}]});
        for code in [400, 401, 403, 404, 409, 422, 500] {
            for (message, outcome, expected) in [
                (denied, WebhookOutcome::Denied, ErrorKind::Rejected),
                (failed, WebhookOutcome::Failed, ErrorKind::UnexpectedStatus),
            ] {
                let status = json!({"code": code, "message": message, "details": terminating});
                let error = kube::Error::Api(serde_json::from_value(status).unwrap());
                let webhook = ApiError::of(&error);
                let name = "a.example.com".to_owned();
                assert_eq!(webhook, ApiError::Webhook(WebhookError { name, outcome }), "{code}");
                assert_eq!(ErrorKind::of(&error), expected, "{code}");
                let Refusal { reason, message } = webhook.refusal();
                assert_eq!(reason, Reason::TargetWriteRejected);
                assert!(message.contains("\"a.example.com\"") && !message.contains("token-7"), "{message}");
                assert!(message.split_inclusive(". ").next().unwrap().len() < 80, "{message}");
            }
        }
        assert_eq!(ApiError::Unavailable.refusal(), Reason::ApiUnavailable.into());
    }

    #[test]
    fn a_response_that_cannot_be_decoded_is_not_a_missing_response() {
        let error = serde_json::from_str::<bool>("1").unwrap_err();
        assert_eq!(ErrorKind::of(&kube::Error::SerdeError(error)), ErrorKind::Undecodable);
        assert_eq!(ErrorKind::of(&kube::Error::Service("cut".into())), ErrorKind::Unavailable);
    }
}
