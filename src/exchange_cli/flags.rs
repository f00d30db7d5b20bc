//! The flags of `exchange`; those of one provider are in its module. No flag takes a secret value, because the command
//! line is visible in the list of processes and in the shell's history.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use apicredential::api::Provider;
use apicredential::endpoint::Endpoint;
use apicredential::plan::syntax;
use clap::{Subcommand, ValueEnum};

use super::failure::CommandError;
use super::plan::ExchangePlan;
use super::qontak::{self, QontakArgs};
use super::welkin::{self, WelkinArgs};
use crate::flags::ProviderArgs;

/// The arguments of `exchange`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXITS)]
pub struct ExchangeArgs {
    /// The provider that issues the token.
    #[command(subcommand)]
    pub provider: ProviderCommand,
}

/// The provider that issues the token.
#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// Exchange the secret of a Welkin API client
    #[command(after_help = format!("{}\n\n{EXITS}", welkin::EXAMPLES))]
    Welkin(WelkinArgs),
    /// Exchange the login of a Qontak user
    #[command(after_help = format!("{}\n\n{EXITS}", qontak::EXAMPLES))]
    Qontak(QontakArgs),
}

impl ProviderCommand {
    /// Checks the flags before any credentials are read.
    pub(super) fn check(self) -> Result<ExchangePlan, CommandError> {
        match self {
            Self::Welkin(args) => args.check(),
            Self::Qontak(args) => args.check(),
        }
    }
}

/// What messages call the flags and the login of a provider.
pub(super) struct ProviderWords {
    /// The flag that reads the login from standard input.
    pub(super) stdin_flag: &'static str,
    /// The flags that read the login from files.
    pub(super) file_flags: &'static str,
    /// The flags that name keys of the source Secret.
    pub(super) key_flags: &'static str,
    /// What to check after a rejection.
    pub(super) login: &'static str,
    /// The message for a 404 response, if the provider has a better one than that of all providers.
    pub(super) not_found: Option<&'static str>,
}

impl ProviderWords {
    pub(super) fn of(provider: Provider) -> &'static Self {
        match provider {
            Provider::Welkin => &welkin::WORDS,
            Provider::Qontak => &qontak::WORDS,
        }
    }
}

/// The flags of every provider.
#[derive(Debug, clap::Args)]
pub struct SharedArgs {
    /// Read the login from this source Secret of the cluster, under the operator's rules: it must have the label
    /// apicredential.io/source
    #[arg(long, group = "credentials", help_heading = CREDENTIALS, value_name = "[NAMESPACE/]NAME")]
    pub from_secret: Option<SecretName>,

    /// Context of the kubeconfig in which the Secret is read [default: the current one]
    #[arg(long, help_heading = CREDENTIALS, value_name = "NAME")]
    pub context: Option<String>,

    /// Path to the kubeconfig file [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, help_heading = CREDENTIALS, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// Print only the token, in this format. Without it everything except the token is printed
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub output: Option<Output>,

    /// Verify the token with the request that the provider documents for it, and report whether it is accepted. Qontak only
    #[arg(long)]
    pub check: bool,

    /// Endpoint of the provider [default: its live service]
    #[arg(long, value_name = "ORIGIN")]
    pub endpoint: Option<Endpoint>,

    /// Rejected words.
    #[command(flatten)]
    pub misplaced: RejectedArgs,

    /// The connection to the provider.
    #[command(flatten, next_help_heading = "Provider connection, as for the operator")]
    pub reach: ProviderArgs,
}

/// Words that may be credentials. clap would repeat an unknown word in its error message, and error messages end up in
/// logs. So the words are accepted, dropped, and rejected with a message that does not contain them.
#[derive(Debug, clap::Args)]
pub struct RejectedArgs {
    /// Words that do not belong to a flag.
    #[arg(hide = true, num_args = 0.., value_parser = dropped)]
    pub words: Vec<Dropped>,
    /// Not a flag of any provider.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub secret: Vec<Dropped>,
    /// Not a flag of any provider.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub username: Vec<Dropped>,
    /// Not a flag of any provider.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub password: Vec<Dropped>,
    /// Not a flag of any provider.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub client_id: Vec<Dropped>,
    /// Not a flag of any provider.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub client_secret: Vec<Dropped>,
}

/// A word whose text was dropped.
#[derive(Clone, Debug)]
pub struct Dropped;

impl RejectedArgs {
    /// Whether there is a rejected word.
    pub fn is_any(&self) -> bool {
        let Self { words, secret, username, password, client_id, client_secret } = self;
        [words, secret, username, password, client_id, client_secret].iter().any(|words| !words.is_empty())
    }
}

fn dropped(_word: &str) -> Result<Dropped, Infallible> {
    Ok(Dropped)
}

/// The format in which a token is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The token on a line
    Token,
    /// The HTTP header that carries it, for curl -H @-
    Header,
    /// One JSON object with the token and its times
    Json,
    /// Lines NAME=VALUE for a shell or an --env-file
    Env,
}

/// A Secret and its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    /// The namespace. `None` for the namespace of the kubeconfig's context.
    pub namespace: Option<String>,
    /// The name of the Secret.
    pub name: String,
}

impl FromStr for SecretName {
    type Err = NotASecretName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let parts = [namespace, Some(name)];
        if parts.into_iter().flatten().any(|part| syntax::check_name(part, "").is_err()) {
            return Err(NotASecretName);
        }
        Ok(Self { namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The text is not the name of a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write NAMESPACE/NAME, or NAME for the namespace of the context")]
pub struct NotASecretName;

pub(super) fn key(text: &str) -> Result<String, String> {
    syntax::check_key(text, "it").map(|()| text.to_owned()).map_err(|refusal| refusal.message)
}

/// The help heading of the flags for credentials.
pub(super) const CREDENTIALS: &str = "Login (prompted for on a terminal if none of these is given)";

const EXITS: &str = "\
Exit codes: 0 success; 2 invalid command line; 3 the provider rejected the login, or --check found the token rejected;
4 the provider throttles requests; 5 a temporary failure: network, timeout, server error; 6 the response is not usable;
7 a local failure: a file, the kubeconfig, the source Secret, the list of allowed endpoints.";
