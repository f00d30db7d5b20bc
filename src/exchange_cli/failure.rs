//! Why there is no token: an exit code for scripts, a sentence for people.

use std::io::Write as _;
use std::process::ExitCode;

use apicredential::api::Provider;
use apicredential::plan::RequestPlan;
use apicredential::providers;
use apicredential::reason::{Class, Reason, Refusal};

use crate::provider_client::TokenCheck;

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// There is a token.
    Ok = 0,
    /// The command line is not right.
    Usage = 2,
    /// The provider refused the credentials or the names, or the token that it had issued.
    Rejected = 3,
    /// The provider asks to slow down.
    Throttled = 4,
    /// It may pass by itself: network, time-outs, server errors.
    Transient = 5,
    /// The provider answered, but with nothing usable.
    Unusable = 6,
    /// Refused on this side: files, the kubeconfig, the source Secret, the list of endpoints.
    Local = 7,
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Rejected => Self::Rejected,
            Class::Throttled => Self::Throttled,
            Class::Transient => Self::Transient,
            Class::Unusable => Self::Unusable,
            // What is no failure never ends up here.
            Class::Local | Class::Fine => Self::Local,
        }
    }
}

/// No token, and why. Nothing in it is secret or was sent by anybody.
#[derive(Debug)]
pub(super) struct CommandError {
    pub(super) exit: Exit,
    pub(super) reason: Option<Reason>,
    pub(super) sentence: String,
}

impl CommandError {
    /// The command line is not right.
    pub(super) fn usage(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, reason: None, sentence: sentence.into() }
    }

    /// Something on this machine.
    pub(super) fn local(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Local, reason: None, sentence: sentence.into() }
    }

    /// What the provider's answer, or its absence, means for who typed the command.
    pub(super) fn answered(request: &RequestPlan, failure: &providers::ExchangeFailure) -> Self {
        let mut sentence = sentence(failure.reason, request);
        if let Some(pause) = failure.retry_after {
            sentence += &format!(" It names a time: wait {} s.", pause.as_secs());
        }
        Refusal::new(failure.reason, sentence).into()
    }

    /// What the answer to the token means, if it is not that the token is accepted.
    pub(super) fn checked(request: &RequestPlan, verdict: &TokenCheck) -> Option<Self> {
        let (provider, endpoint) = (request.provider(), request.endpoint());
        match verdict {
            TokenCheck::Accepted => None,
            TokenCheck::Revoked => Some(Self {
                exit: Exit::Rejected,
                reason: None,
                sentence: format!(
                    "--check: {provider} issued the token and does not accept it (401) at {endpoint}; ask {provider} whether this user may use the API."
                ),
            }),
            TokenCheck::Unavailable(failure) => {
                // A status that only says nothing of the token is no rejection of it.
                let exit = match failure.reason.class() {
                    Class::Rejected => Exit::Unusable,
                    class => class.into(),
                };
                let sentence = format!(
                    "--check: the token was issued, but {endpoint} did not say whether it is accepted; try again, or leave --check out."
                );
                Some(Self { exit, reason: Some(failure.reason), sentence })
            }
        }
    }

    /// Tells standard error; the exit code.
    pub(super) fn tell(&self) -> ExitCode {
        let Self { exit, reason, sentence } = self;
        let reason = reason.map(|reason| format!("{reason}: ")).unwrap_or_default();
        // Who closed standard error learns it from the exit code.
        let _ = writeln!(std::io::stderr(), "apicredential-operator: {reason}{sentence}");
        ExitCode::from(*exit as u8)
    }
}

impl From<Refusal> for CommandError {
    fn from(Refusal { reason, message }: Refusal) -> Self {
        Self { exit: reason.class().into(), reason: Some(reason), sentence: message }
    }
}

/// The table of reasons speaks of specs and source Secrets; by hand the same is said by flags.
fn sentence(reason: Reason, request: &RequestPlan) -> String {
    let provider = request.provider();
    let what = match provider {
        Provider::Welkin => "the secret, --tenant and --client-name",
        Provider::Qontak => "the user name and the password",
    };
    match reason {
        Reason::CredentialsRejected => format!(
            "{provider} rejected the credentials; check {what}. Each further try counts against you: providers lock accounts."
        ),
        Reason::NotFoundAtProvider if provider == Provider::Welkin => {
            "Welkin does not know this tenant or client; correct --tenant, --client-name or --endpoint.".to_owned()
        }
        Reason::NotFoundAtProvider => {
            format!("{provider} has no such page at {}; correct --endpoint.", request.endpoint())
        }
        Reason::UnexpectedRedirect => {
            format!("{provider} answered with a redirect, which is never followed; correct --endpoint.")
        }
        Reason::UnexpectedStatus => format!(
            "{provider} answered with an HTTP status that the exchange does not define; check --endpoint, then {what}."
        ),
        Reason::ResponseMismatch => {
            format!("{provider} answered for another API client than the one asked for; check {what}.")
        }
        Reason::RateLimited => format!("{provider} asks to slow down; try again later."),
        Reason::ProviderUnavailable => format!("{provider} answered with a server error; try again later."),
        Reason::ProviderTimeout => {
            format!("{provider} did not answer in time; try again, or give it longer with --provider-timeout.")
        }
        Reason::ConnectionFailed => format!(
            "The connection to {} failed or was cut; check the network and --provider-proxy, and try again.",
            request.endpoint()
        ),
        Reason::DnsFailed => {
            format!("The host name of {} could not be resolved; check --endpoint and the network.", request.endpoint())
        }
        other => other.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apicredential::api::QontakKeys;
    use apicredential::endpoint::{AllowedEndpoints, PathSegment};

    fn requests() -> [RequestPlan; 2] {
        let (welkin, qontak) = (Provider::Welkin, Provider::Qontak);
        let name = || PathSegment::parse("a").unwrap();
        let key = "secret".to_owned();
        let endpoint = AllowedEndpoints::default_for(welkin);
        [
            RequestPlan::Welkin { endpoint, tenant: name(), client_name: name(), key },
            RequestPlan::Qontak { endpoint: AllowedEndpoints::default_for(qontak), keys: QontakKeys::default() },
        ]
    }

    #[test]
    fn what_a_provider_may_answer_is_never_told_in_terms_of_a_spec() {
        let first = Reason::ALL.iter().position(|reason| *reason == Reason::CredentialsRejected).unwrap();
        let answers = Reason::ALL[first..].iter().filter(|reason| reason.class() != Class::Local);
        for (reason, request) in answers.flat_map(|reason| requests().map(|request| (*reason, request))) {
            let failure = CommandError::answered(&request, &reason.into());
            assert!(!matches!(failure.exit, Exit::Ok | Exit::Usage | Exit::Local), "{reason}");
            for word in ["spec.", "source Secret", "operator"] {
                assert!(!failure.sentence.contains(word), "{reason}: {}", failure.sentence);
            }
        }
    }

    #[test]
    fn a_check_without_an_answer_is_no_rejection_of_the_token() {
        let [_, qontak] = requests();
        let exit = |verdict| CommandError::checked(&qontak, &verdict).map(|failure| failure.exit);
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
