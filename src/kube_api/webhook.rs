//! Which admission webhook kept the API server from storing an object.
//!
//! Only the webhook's name is taken from the API server's message, and only where the API server itself wrote it. What
//! follows can be text of the webhook, which may quote the Secret.

use kube::core::Status;

/// An admission webhook that kept the API server from storing an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookError {
    /// The name of the webhook in its configuration, a DNS name.
    pub name: String,
    /// What the webhook did.
    pub outcome: WebhookOutcome,
}

/// What an admission webhook did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// It denied the request.
    Denied,
    /// It could not be called, did not answer in time, or its answer was no review.
    Failed,
}

/// How the API server begins these messages: `ToStatusErr` in `k8s.io/apiserver/pkg/admission/plugin/webhook/errors`, and
/// `ErrCallingWebhook` in `k8s.io/apiserver/pkg/util/webhook`.
const DENIED: &str = "admission webhook \"";
const FAILED: &str = "Internal error occurred: failed calling webhook \"";

impl WebhookError {
    /// The webhook that a response names, if a webhook is why it is a failure. The status code means nothing here: a webhook
    /// that denies a request chooses it.
    pub(super) fn of(status: &Status) -> Option<Self> {
        let denied = status.message.strip_prefix(DENIED).map(|rest| (WebhookOutcome::Denied, rest));
        let failed = || status.message.strip_prefix(FAILED).map(|rest| (WebhookOutcome::Failed, rest));
        let (outcome, rest) = denied.or_else(failed)?;
        let (name, rest) = rest.split_once('"')?;
        let follows = match outcome {
            WebhookOutcome::Denied => rest.starts_with(" denied the request"),
            WebhookOutcome::Failed => rest.starts_with([':', ';']),
        };
        (follows && is_dns_name(name)).then(|| Self { name: name.to_owned(), outcome })
    }
}

/// Whether the text is an RFC 1123 subdomain, as names of webhooks are.
fn is_dns_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        let ends = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len()) && ends && label.bytes().all(allowed)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str) -> Option<(String, WebhookOutcome)> {
        let status: Status = serde_json::from_value(serde_json::json!({"message": message})).unwrap();
        WebhookError::of(&status).map(|error| (error.name, error.outcome))
    }

    #[test]
    fn the_webhook_is_named_only_where_the_api_server_names_it() {
        let (denied, failed) = (Some(WebhookOutcome::Denied), Some(WebhookOutcome::Failed));
        for (message, expected) in [
            (r#"admission webhook "a.example.com" denied the request: no token-7"#, denied),
            (r#"admission webhook "a.example.com" denied the request without explanation"#, denied),
            (
                r#"Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: refused"#,
                failed,
            ),
            (
                r#"Internal error occurred: failed calling webhook "a.example.com"; no further details available"#,
                failed,
            ),
            (r#"failed calling webhook "a.example.com": x"#, None),
            (r#"x admission webhook "a.example.com" denied the request: x"#, None),
            (r#"admission webhook "a.example.com" is tired"#, None),
            (r#"admission webhook "token 7" denied the request: x"#, None),
            (r#"admission webhook "eyJhbGciOi" denied the request: x"#, None),
            (r#"admission webhook "a..com" denied the request: x"#, None),
            (r#"admission webhook "" denied the request: x"#, None),
            (r#"secrets "a" is forbidden: admission webhook "a.example.com" denied the request: x"#, None),
        ] {
            let expected = expected.map(|outcome| ("a.example.com".to_owned(), outcome));
            assert_eq!(of(message), expected, "{message}");
        }
    }
}
