//! The checked flags: what to request, and where the credentials are.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use apicredential::api::Provider;
use apicredential::endpoint::Endpoint;
use apicredential::providers::{ProviderRequest, QontakRequest, WelkinRequest};
use apicredential::reason::{Reason, Refusal};

use super::failure::CommandError;
use super::flags::{Output, ProviderWords, SecretName, SharedArgs};
use super::qontak::LoginFiles;
use crate::provider_client::ProviderClient;
use crate::provider_client::transport::TransportFiles;

/// What the command does.
pub(super) struct ExchangePlan {
    /// Where to request the token, and for whom.
    pub(super) request: ProviderRequest,
    /// Where the credentials are.
    pub(super) credentials: Credentials,
    /// How the token is printed. `None` if only its properties are printed.
    pub(super) output: Option<Output>,
    /// Whether the token is checked.
    pub(super) check: bool,
    transport: TransportFiles,
    timeout: Duration,
}

/// Where the credentials are. Outside a cluster, each provider has its own kind of login.
pub(super) enum Credentials {
    /// In a source Secret of a cluster.
    Secret(SourceSecret),
    /// The secret of a Welkin API client, on the terminal, on standard input or in a file.
    Welkin(WelkinRequest, LoginInput<PathBuf>),
    /// The login of a Qontak user, on the terminal, on standard input or in files.
    Qontak(QontakRequest, LoginInput<LoginFiles>),
}

/// Where a login outside a cluster is read from.
pub(super) enum LoginInput<Files> {
    /// From the terminal, with a prompt.
    Prompt,
    /// From standard input.
    Stdin,
    /// From files.
    Files(Files),
}

/// A Secret, and how its cluster is found.
pub(super) struct SourceSecret {
    pub(super) name: SecretName,
    pub(super) context: Option<String>,
    pub(super) kubeconfig: Option<PathBuf>,
}

/// The flags of one provider for its login.
pub(super) struct LoginFlags<Files> {
    /// Whether the login is on standard input.
    pub(super) stdin: bool,
    /// The files that contain the login.
    pub(super) files: Option<Files>,
    /// Whether a flag names a key of the source Secret.
    pub(super) names_keys: bool,
}

impl SharedArgs {
    /// The endpoint, by default the provider's live service.
    pub(super) fn endpoint_of(&self, provider: Provider) -> Endpoint {
        self.endpoint.clone().unwrap_or_else(|| provider.default_endpoint())
    }
}

impl ExchangePlan {
    /// Checks the flags of one provider. `credentials` is called if the login is outside a cluster.
    pub(super) fn check<Files>(
        request: ProviderRequest,
        flags: LoginFlags<Files>,
        shared: SharedArgs,
        credentials: impl FnOnce(LoginInput<Files>) -> Credentials,
    ) -> Result<Self, CommandError> {
        let (provider, endpoint) = (request.provider(), request.endpoint());
        let words = ProviderWords::of(provider);
        if shared.misplaced.is_any() {
            return Err(CommandError::usage(format!(
                "there is a word on the command line that belongs to no flag, or a flag that would take a credential; other users and the shell's history can read it, so if it is a credential, change it; give credentials with {}, by files, or with --from-secret",
                words.stdin_flag
            )));
        }
        let for_secret = flags.names_keys || shared.context.is_some() || shared.kubeconfig.is_some();
        if shared.from_secret.is_none() && for_secret {
            return Err(CommandError::usage(
                "--context, --kubeconfig and the flags that name keys require --from-secret; add it, or omit them",
            ));
        }
        let transport = shared.reach.transport_files().map_err(|error| CommandError::usage(error.to_string()))?;
        if shared.check && !provider.has_check() {
            return Err(CommandError::usage(format!(
                "--check: {provider} documents no request that verifies a token; omit --check"
            )));
        }
        if !shared.reach.allowed_endpoints.allows(provider, endpoint) {
            let message = format!(
                "{endpoint} is not on the list of allowed endpoints for {provider}; correct --endpoint, or if the host is trusted with these credentials, set --allowed-endpoints {}={endpoint}.",
                provider.label()
            );
            return Err(Refusal::new(Reason::EndpointNotAllowed, message).into());
        }
        let credentials = match (flags.files, shared.from_secret) {
            (Some(files), _) => credentials(LoginInput::Files(files)),
            (None, Some(name)) => {
                Credentials::Secret(SourceSecret { name, context: shared.context, kubeconfig: shared.kubeconfig })
            }
            (None, None) => credentials(terminal_or_stdin(flags.stdin, words)?),
        };
        let (output, check, timeout) = (shared.output, shared.check, shared.reach.provider_timeout);
        Ok(Self { request, credentials, output, check, transport, timeout })
    }

    /// The client for the provider.
    pub(super) fn provider_client(&self) -> Result<ProviderClient, CommandError> {
        let transport = self.transport.read_at_start().map_err(|error| CommandError::local(error.to_string()))?;
        ProviderClient::new(self.timeout, &transport).map_err(|error| CommandError::local(error.to_string()))
    }
}

/// Where the login is, if it is in no file and in no Secret.
fn terminal_or_stdin<Files>(stdin: bool, words: &ProviderWords) -> Result<LoginInput<Files>, CommandError> {
    let (flag, files) = (words.stdin_flag, words.file_flags);
    match (stdin, std::io::stdin().is_terminal()) {
        (true, false) => Ok(LoginInput::Stdin),
        (false, true) => Ok(LoginInput::Prompt),
        (true, true) => Err(CommandError::usage(format!(
            "{flag}: standard input is a terminal, which would show the input; omit {flag} for a prompt without echo"
        ))),
        (false, false) => Err(CommandError::usage(format!(
            "no login is given, and standard input is not a terminal; use {flag}, {files}, or --from-secret"
        ))),
    }
}
