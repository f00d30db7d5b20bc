//! The flags of `exchange`. None of them takes a credential: whoever can list processes or read the shell's history
//! would read it, too.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use apicredential::endpoint::{Endpoint, PathSegment};
use apicredential::plan::syntax;
use clap::{Subcommand, ValueEnum};

use crate::flags::ProviderArgs;

/// What `exchange` is followed by.
#[derive(Debug, clap::Args)]
#[command(after_help = EXITS)]
pub struct ExchangeArgs {
    /// Whose token.
    #[command(subcommand)]
    pub provider: Whose,
}

/// Whose token.
#[derive(Debug, Subcommand)]
pub enum Whose {
    /// Exchange the secret of a Welkin API client
    #[command(after_help = format!("{WELKIN_EXAMPLES}\n\n{EXITS}"))]
    Welkin(WelkinArgs),
    /// Exchange the login of a Qontak user
    #[command(after_help = format!("{QONTAK_EXAMPLES}\n\n{EXITS}"))]
    Qontak(QontakArgs),
}

/// The flags of `exchange welkin`.
#[derive(Debug, clap::Args)]
pub struct WelkinArgs {
    /// The Welkin tenant, such as gh
    #[arg(long, value_name = "NAME", value_parser = PathSegment::parse)]
    pub tenant: PathSegment,

    /// The name of the API client, such as VBOPNRYRWJIP
    #[arg(long, value_name = "NAME", value_parser = PathSegment::parse)]
    pub client_name: PathSegment,

    /// Read the API client's secret from standard input; one line end after it is not part of it
    #[arg(long, group = "credentials", help_heading = CREDENTIALS)]
    pub secret_stdin: bool,

    /// Read the API client's secret from a file, which is taken as it is
    #[arg(long, group = "credentials", help_heading = CREDENTIALS, value_name = "PATH")]
    pub secret_file: Option<PathBuf>,

    /// The key of the source Secret that holds the API client's secret [default: secret]
    #[arg(long, help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub key: Option<String>,

    /// What both have.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// The flags of `exchange qontak`.
#[derive(Debug, clap::Args)]
pub struct QontakArgs {
    /// Read from standard input: a line with the user name, a line with the password, and after them, if the public OAuth
    /// client is not meant, a line with the client's id and one with its secret
    #[arg(long, group = "credentials", help_heading = CREDENTIALS)]
    pub login_stdin: bool,

    /// Read the user name from a file, which is taken as it is
    #[arg(long, group = "credentials", requires = "password_file", help_heading = CREDENTIALS, value_name = "PATH")]
    pub username_file: Option<PathBuf>,

    /// Read the password from a file, which is taken as it is
    #[arg(long, requires = "username_file", help_heading = CREDENTIALS, value_name = "PATH")]
    pub password_file: Option<PathBuf>,

    /// Read the OAuth client's id from a file [default: the one that Qontak publishes]
    #[arg(long, requires_all = ["username_file", "client_secret_file"], help_heading = CREDENTIALS, value_name = "PATH")]
    pub client_id_file: Option<PathBuf>,

    /// Read the OAuth client's secret from a file [default: the one that Qontak publishes]
    #[arg(long, requires_all = ["username_file", "client_id_file"], help_heading = CREDENTIALS, value_name = "PATH")]
    pub client_secret_file: Option<PathBuf>,

    /// The key of the source Secret that holds the user name [default: username]
    #[arg(long, help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub username_key: Option<String>,

    /// The key of the source Secret that holds the password [default: password]
    #[arg(long, help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub password_key: Option<String>,

    /// The key of the source Secret that holds the OAuth client's id [default: client_id]
    #[arg(long, help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub client_id_key: Option<String>,

    /// The key of the source Secret that holds the OAuth client's secret [default: client_secret]
    #[arg(long, help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub client_secret_key: Option<String>,

    /// What both have.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// The flags that both have.
#[derive(Debug, clap::Args)]
pub struct SharedArgs {
    /// Read the credentials from this Secret of the cluster, under the rules that the operator obeys: it must carry the
    /// label apicredential.io/source
    #[arg(long, group = "credentials", help_heading = CREDENTIALS, value_name = "[NAMESPACE/]NAME")]
    pub from_secret: Option<SecretName>,

    /// The context of the kubeconfig to read the Secret in [default: the current one]
    #[arg(long, help_heading = CREDENTIALS, value_name = "NAME")]
    pub context: Option<String>,

    /// The kubeconfig [default: what KUBECONFIG names, else ~/.kube/config]
    #[arg(long, help_heading = CREDENTIALS, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// Print the token, and nothing else, in this form; without it everything is printed but the token
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub output: Option<Output>,

    /// Use the token once, at the page that the provider documents for that, and say whether it is accepted; Qontak only
    #[arg(long)]
    pub check: bool,

    /// Where to ask, if not at the provider's live service
    #[arg(long, value_name = "ORIGIN")]
    pub endpoint: Option<Endpoint>,

    /// What nobody should give.
    #[command(flatten)]
    pub misplaced: RejectedArgs,

    /// How providers are reached.
    #[command(flatten, next_help_heading = "How providers are reached, as for the operator")]
    pub reach: ProviderArgs,
}

/// What would be a credential on the command line. clap would repeat it in its error, and error outputs are kept: so it
/// is taken, dropped, and refused by name.
#[derive(Debug, clap::Args)]
pub struct RejectedArgs {
    /// Words that belong to no flag.
    #[arg(hide = true, num_args = 0.., value_parser = dropped)]
    pub words: Vec<Dropped>,
    /// Not a flag.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub secret: Vec<Dropped>,
    /// Not a flag.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub username: Vec<Dropped>,
    /// Not a flag.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub password: Vec<Dropped>,
    /// Not a flag.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub client_id: Vec<Dropped>,
    /// Not a flag.
    #[arg(long, hide = true, num_args = 0..=1, value_parser = dropped)]
    pub client_secret: Vec<Dropped>,
}

/// A word that was not kept.
#[derive(Clone, Debug)]
pub struct Dropped;

impl RejectedArgs {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        let Self { words, secret, username, password, client_id, client_secret } = self;
        [words, secret, username, password, client_id, client_secret].iter().any(|words| !words.is_empty())
    }
}

fn dropped(_word: &str) -> Result<Dropped, Infallible> {
    Ok(Dropped)
}

/// The form in which a token is printed.
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

/// A Secret in a namespace; without one, that of the context is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    /// The namespace, where it was named.
    pub namespace: Option<String>,
    /// The Secret.
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

/// The text names no Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write NAMESPACE/NAME, or NAME for the namespace of the context")]
pub struct NotASecretName;

fn key(text: &str) -> Result<String, String> {
    syntax::check_key(text, "it").map(|()| text.to_owned()).map_err(|refusal| refusal.message)
}

const CREDENTIALS: &str = "Credentials (on a terminal they are asked for if none of these is given)";

const EXITS: &str = "\
Exit codes: 0 there is a token; 2 the command line is not right; 3 the provider rejected the credentials, or --check found
the token rejected; 4 the provider asks to slow down; 5 it may pass by itself: network, time-out, server error; 6 the answer
is not usable; 7 refused on this side: a file, the kubeconfig, the Secret, the list of endpoints.";

const WELKIN_EXAMPLES: &str = "\
Examples:
  # Ask for the secret, and say how long a token of this client lives
  apicredential-operator exchange welkin --tenant gh --client-name VBOPNRYRWJIP

  # Try what the operator would do with a source Secret of the current context
  apicredential-operator exchange welkin --tenant gh --client-name VBOPNRYRWJIP --from-secret care/welkin-client

  # Call the API, without the token or the secret in any command line
  pass show welkin | apicredential-operator exchange welkin --tenant gh --client-name VBOPNRYRWJIP --secret-stdin -o header |
    curl -H @- https://api.live.welkincloud.io/gh/...";

const QONTAK_EXAMPLES: &str = "\
Examples:
  # Ask for the login, and say whether its token works
  apicredential-operator exchange qontak --check

  # Try what the operator would do with a source Secret of the current context
  apicredential-operator exchange qontak --from-secret care/qontak-login

  # A token for a script, without the token or the password in any command line
  TOKEN=$(apicredential-operator exchange qontak --username-file user --password-file password -o token)";
