//! The flags, checked: what is to be done, before anybody is asked for a credential.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use apicredential::api::{Provider, QontakKeys};
use apicredential::endpoint::{AllowedEndpoints, Endpoint};
use apicredential::plan::RequestPlan;
use apicredential::reason::{Reason, Refusal};

use super::failure::CommandError;
use super::flags::{ExchangeArgs, Output, QontakArgs, SecretName, SharedArgs, WelkinArgs, Whose};
use crate::provider_client::ProviderClient;
use crate::provider_client::transport::TransportFiles;

/// What is to be done.
pub(super) struct ExchangePlan {
    /// Whom to ask.
    pub(super) request: RequestPlan,
    /// Where the credentials are.
    pub(super) credentials: Credentials,
    /// How the token is printed, if it is.
    pub(super) output: Option<Output>,
    /// Whether the token is tried.
    pub(super) check: bool,
    route: TransportFiles,
    timeout: Duration,
}

/// Where the credentials are.
pub(super) enum Credentials {
    /// Somebody at the terminal knows them.
    Prompt,
    /// On standard input.
    Stdin,
    /// In files: each with its flag, in the order of [`apicredential::target::ownership::SecretValues`].
    Files(Vec<(&'static str, PathBuf)>),
    /// In a Secret of a cluster.
    Secret(SourceSecret),
}

/// A Secret, and how its cluster is found.
pub(super) struct SourceSecret {
    pub(super) name: SecretName,
    pub(super) context: Option<String>,
    pub(super) kubeconfig: Option<PathBuf>,
}

impl ExchangeArgs {
    /// What is to be done, if the operator might do it.
    pub(super) fn check(self) -> Result<ExchangePlan, CommandError> {
        match self.provider {
            Whose::Welkin(args) => args.check(),
            Whose::Qontak(args) => args.check(),
        }
    }
}

impl WelkinArgs {
    fn check(self) -> Result<ExchangePlan, CommandError> {
        let request = RequestPlan::Welkin {
            endpoint: endpoint(&self.shared, Provider::Welkin),
            tenant: self.tenant,
            client_name: self.client_name,
            key: self.key.clone().unwrap_or_else(|| "secret".to_owned()),
        };
        let keys = self.key.is_some();
        let files = self.secret_file.map(|path| vec![("--secret-file", path)]);
        order(request, Elsewhere { flag: "--secret-stdin", stdin: self.secret_stdin, files, keys }, self.shared)
    }
}

impl QontakArgs {
    fn check(self) -> Result<ExchangePlan, CommandError> {
        let given = [&self.username_key, &self.password_key, &self.client_id_key, &self.client_secret_key];
        let renamed = given.into_iter().any(Option::is_some);
        let default = QontakKeys::default();
        let keys = QontakKeys {
            username: self.username_key.unwrap_or(default.username),
            password: self.password_key.unwrap_or(default.password),
            client_id: self.client_id_key.unwrap_or(default.client_id),
            client_secret: self.client_secret_key.unwrap_or(default.client_secret),
        };
        let request = RequestPlan::Qontak { endpoint: endpoint(&self.shared, Provider::Qontak), keys };
        let given = [
            ("--username-file", self.username_file),
            ("--password-file", self.password_file),
            ("--client-id-file", self.client_id_file),
            ("--client-secret-file", self.client_secret_file),
        ];
        let files: Vec<_> = given.into_iter().filter_map(|(flag, path)| Some((flag, path?))).collect();
        let files = Some(files).filter(|files| !files.is_empty());
        order(request, Elsewhere { flag: "--login-stdin", stdin: self.login_stdin, files, keys: renamed }, self.shared)
    }
}

fn endpoint(shared: &SharedArgs, provider: Provider) -> Endpoint {
    shared.endpoint.clone().unwrap_or_else(|| AllowedEndpoints::default_for(provider))
}

/// What the flags of one provider say of credentials outside of a Secret.
struct Elsewhere {
    flag: &'static str,
    stdin: bool,
    files: Option<Vec<(&'static str, PathBuf)>>,
    /// Whether keys of a Secret are named all the same.
    keys: bool,
}

fn order(request: RequestPlan, elsewhere: Elsewhere, shared: SharedArgs) -> Result<ExchangePlan, CommandError> {
    let flag = elsewhere.flag;
    if shared.misplaced.is_any() {
        return Err(CommandError::usage(format!(
            "there is a word on the command line that belongs to no flag, or a flag that would take a credential; other users and the shell's history can read it, so if it is a credential, change it; give credentials with {flag}, by files, or with --from-secret"
        )));
    }
    if shared.from_secret.is_none() && (elsewhere.keys || shared.context.is_some() || shared.kubeconfig.is_some()) {
        return Err(CommandError::usage(
            "--context, --kubeconfig and the flags that name keys belong to --from-secret; give it, or leave them out",
        ));
    }
    let route = shared.reach.route().map_err(|error| CommandError::usage(error.to_string()))?;
    let (provider, endpoint) = (request.provider(), request.endpoint());
    if shared.check && !provider.has_check() {
        return Err(CommandError::usage(format!(
            "--check: {provider} documents no request that would only try a token; leave --check out"
        )));
    }
    if !shared.reach.allowed_endpoints.allows(provider, endpoint) {
        let message = format!(
            "{endpoint} is not on the list of allowed endpoints for {provider}; correct --endpoint, or if the host is trusted with these credentials, set --allowed-endpoints {}={endpoint}.",
            provider.label()
        );
        return Err(Refusal::new(Reason::EndpointNotAllowed, message).into());
    }
    let (output, check, timeout) = (shared.output, shared.check, shared.reach.provider_timeout);
    let secret =
        shared.from_secret.map(|name| SourceSecret { name, context: shared.context, kubeconfig: shared.kubeconfig });
    let credentials = elsewhere.or(secret, provider)?;
    Ok(ExchangePlan { request, credentials, output, check, route, timeout })
}

impl Elsewhere {
    fn or(self, secret: Option<SourceSecret>, provider: Provider) -> Result<Credentials, CommandError> {
        let flag = self.flag;
        match (self.files, secret) {
            (Some(files), _) => return Ok(Credentials::Files(files)),
            (None, Some(secret)) => return Ok(Credentials::Secret(secret)),
            (None, None) => {}
        }
        let files = match provider {
            Provider::Welkin => "--secret-file",
            Provider::Qontak => "--username-file with --password-file",
        };
        match (self.stdin, std::io::stdin().is_terminal()) {
            (true, false) => Ok(Credentials::Stdin),
            (false, true) => Ok(Credentials::Prompt),
            (true, true) => Err(CommandError::usage(format!(
                "{flag}: standard input is a terminal, which would show what is typed; leave {flag} out to be asked without that"
            ))),
            (false, false) => Err(CommandError::usage(format!(
                "there are no credentials, and standard input is no terminal to ask for them; give {flag}, {files}, or --from-secret"
            ))),
        }
    }
}

impl ExchangePlan {
    /// The way to the provider.
    pub(super) fn wire(&self) -> Result<ProviderClient, CommandError> {
        let route = self.route.read().map_err(|error| CommandError::local(error.to_string()))?;
        ProviderClient::new(self.timeout, &route).map_err(|error| CommandError::local(error.to_string()))
    }
}
