//! Why there is no token: an exit code for scripts and a sentence for users.

use std::io::Write as _;
use std::process::ExitCode;

use apicredential::providers::{ExchangeFailure, ProviderRequest};
use apicredential::reason::{Class, Reason, Refusal};

use super::flags::ProviderWords;
use crate::provider_client::TokenCheck;
use crate::terminal::sanitize;

/// The exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The provider issued a token.
    Ok = 0,
    /// The command line is invalid.
    Usage = 2,
    /// The provider rejected the login or the names, or the token that it had issued.
    Rejected = 3,
    /// The provider requests to wait.
    Throttled = 4,
    /// The failure may be temporary: network, time-outs, server errors.
    Transient = 5,
    /// The response contains no usable token.
    Unusable = 6,
    /// A local failure: files, the kubeconfig, the source Secret, the list of allowed endpoints.
    Local = 7,
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Rejected => Self::Rejected,
            Class::Throttled => Self::Throttled,
            Class::Transient => Self::Transient,
            Class::Unusable => Self::Unusable,
            // `Fine` is not a failure and is never converted.
            Class::Local | Class::Fine => Self::Local,
        }
    }
}

/// Why there is no token. It contains nothing secret and no text that a provider sent.
#[derive(Debug)]
pub(super) struct CommandError {
    pub(super) exit: Exit,
    pub(super) reason: Option<Reason>,
    pub(super) sentence: String,
}

impl CommandError {
    /// The command line is invalid.
    pub(super) fn usage(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, reason: None, sentence: sentence.into() }
    }

    /// A failure on this machine.
    pub(super) fn local(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Local, reason: None, sentence: sentence.into() }
    }

    /// The error for a token request that failed.
    pub(super) fn from_exchange(request: &ProviderRequest, failure: &ExchangeFailure) -> Self {
        let mut sentence = sentence(failure.reason, request);
        if let Some(pause) = failure.retry_after {
            sentence += &format!(" Wait {} s, as it requested.", pause.as_secs());
        }
        Refusal::new(failure.reason, sentence).into()
    }

    /// The error for a token check that did not succeed.
    pub(super) fn from_check(request: &ProviderRequest, check: &TokenCheck) -> Option<Self> {
        let (provider, endpoint) = (request.provider(), request.endpoint());
        match check {
            TokenCheck::Accepted => None,
            TokenCheck::Revoked => Some(Self {
                exit: Exit::Rejected,
                reason: None,
                sentence: format!(
                    "--check: {provider} issued the token and does not accept it (401) at {endpoint}; ask {provider} whether this user may use the API."
                ),
            }),
            TokenCheck::Unavailable(failure) => {
                // The provider rejected the request for the check, which does not count against the token.
                let exit = match failure.reason.class() {
                    Class::Rejected => Exit::Unusable,
                    class => class.into(),
                };
                let sentence = format!(
                    "--check: the token was issued, but {endpoint} did not report whether it is accepted; try again, or omit --check."
                );
                Some(Self { exit, reason: Some(failure.reason), sentence })
            }
        }
    }

    /// Writes the message to standard error and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        // If standard error is closed, the exit code still reports the failure.
        let _ = writeln!(std::io::stderr(), "{}", self.line());
        ExitCode::from(self.exit as u8)
    }

    /// The message, on one line. A sentence can name objects of the cluster.
    fn line(&self) -> String {
        let reason = self.reason.map(|reason| format!("{reason}: ")).unwrap_or_default();
        format!("apicredential-operator: {reason}{}", sanitize(&self.sentence))
    }
}

impl From<Refusal> for CommandError {
    fn from(Refusal { reason, message }: Refusal) -> Self {
        Self { exit: reason.class().into(), reason: Some(reason), sentence: message }
    }
}

/// The message in terms of flags. The messages of [`Reason`] are in terms of specs and source Secrets.
fn sentence(reason: Reason, request: &ProviderRequest) -> String {
    let provider = request.provider();
    let words = ProviderWords::of(provider);
    let what = words.login;
    match reason {
        Reason::CredentialsRejected => format!(
            "{provider} rejected the login; check {what}. Do not retry with the same values: providers lock accounts."
        ),
        Reason::NotFoundAtProvider => words.not_found.map_or_else(
            || format!("{provider} has no such path at {}; correct --endpoint.", request.endpoint()),
            str::to_owned,
        ),
        Reason::UnexpectedRedirect => {
            format!("{provider} responded with a redirect, which is never followed; correct --endpoint.")
        }
        Reason::UnexpectedStatus => format!(
            "{provider} responded with an HTTP status that the exchange does not define; check --endpoint, then {what}."
        ),
        Reason::ResponseMismatch => {
            format!("{provider} issued a token for another API client than the requested one; check {what}.")
        }
        Reason::RateLimited => format!("{provider} throttles requests; try again later."),
        Reason::ProviderUnavailable => format!("{provider} responded with a server error; try again later."),
        Reason::ProviderTimeout => {
            format!("{provider} did not respond in time; try again, or set a longer --provider-timeout.")
        }
        Reason::ConnectionFailed => format!(
            "The connection to {} failed or was cut; check the network and --provider-proxy, and try again.",
            request.endpoint()
        ),
        Reason::DnsFailed => {
            format!("The host name of {} could not be resolved; check --endpoint and the network.", request.endpoint())
        }
        Reason::TokenAlreadyExpired => format!(
            "{provider} issued a token that has already expired; compare this machine's clock with the provider's."
        ),
        other => other.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apicredential::api::{Provider, QontakKeys, WelkinKeys};
    use apicredential::endpoint::PathSegment;
    use apicredential::providers::{QontakRequest, WelkinRequest};

    fn requests() -> [ProviderRequest; 2] {
        let name = || PathSegment::parse("a").unwrap();
        let (welkin, qontak) = (Provider::Welkin.default_endpoint(), Provider::Qontak.default_endpoint());
        [
            ProviderRequest::Welkin(WelkinRequest::new(welkin, name(), name(), WelkinKeys::default())),
            ProviderRequest::Qontak(QontakRequest::new(qontak, QontakKeys::default()).unwrap()),
        ]
    }

    #[test]
    fn no_message_about_a_response_is_in_terms_of_a_spec() {
        let first = Reason::ALL.iter().position(|reason| *reason == Reason::CredentialsRejected).unwrap();
        let answers = Reason::ALL[first..].iter().filter(|reason| reason.class() != Class::Local);
        for (reason, request) in answers.flat_map(|reason| requests().map(|request| (*reason, request))) {
            let failure = CommandError::from_exchange(&request, &reason.into());
            assert!(!matches!(failure.exit, Exit::Ok | Exit::Usage | Exit::Local), "{reason}");
            for word in ["spec.", "source Secret", "operator"] {
                assert!(!failure.sentence.contains(word), "{reason}: {}", failure.sentence);
            }
        }
    }

    #[test]
    fn what_a_message_takes_from_the_cluster_stays_on_its_line() {
        let refusal = Refusal::new(Reason::SourceTypeForbidden, "The type \u{1b}[2J\u{202e}x\nok is not permitted.");
        let line = CommandError::from(refusal).line();
        assert_eq!(line, "apicredential-operator: SourceTypeForbidden: The type  [2J x ok is not permitted.");
    }

    #[test]
    fn a_check_without_a_result_is_not_a_rejection_of_the_token() {
        let [_, qontak] = requests();
        let exit = |check| CommandError::from_check(&qontak, &check).map(|failure| failure.exit);
        assert_eq!(exit(TokenCheck::Accepted), None);
        assert_eq!(exit(TokenCheck::Revoked), Some(Exit::Rejected));
        for (reason, code) in [
            (Reason::RateLimited, Exit::Throttled),
            (Reason::ProviderUnavailable, Exit::Transient),
            (Reason::ProviderTimeout, Exit::Transient),
            (Reason::TlsFailed, Exit::Unusable),
            (Reason::UnexpectedStatus, Exit::Unusable),
        ] {
            assert_eq!(exit(TokenCheck::Unavailable(reason.into())), Some(code), "{reason}");
        }
    }
}
