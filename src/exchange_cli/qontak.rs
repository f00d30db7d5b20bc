//! `exchange qontak`: its flags, and the login from a terminal, standard input or files.

use std::path::PathBuf;

use apicredential::api::{Provider, QontakKeys};
use apicredential::providers::{
    ProviderRequest, QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET, QontakLogin, QontakRequest,
};
use apicredential::source;
use secrecy::SecretString;

use super::credentials::{read_file, read_stdin, without_line_end};
use super::failure::CommandError;
use super::flags::{CREDENTIALS, ProviderWords, SharedArgs, key};
use super::plan::{Credentials, ExchangePlan, LoginFlags, LoginInput};
use super::prompt;

/// The flags of `exchange qontak`.
#[derive(Debug, clap::Args)]
pub struct QontakArgs {
    /// Read from standard input: a line with the user name, a line with the password, and after them, unless the
    /// public OAuth client is used, a line with the client's id and one with its secret
    #[arg(long, group = "credentials", help_heading = CREDENTIALS)]
    pub login_stdin: bool,

    /// Read the user name from a file, without any change
    #[arg(long, group = "credentials", requires = "password_file", help_heading = CREDENTIALS, value_name = "PATH")]
    pub username_file: Option<PathBuf>,

    /// Read the password from a file, without any change
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

    /// The key of the source Secret that holds the OAuth client's id [default: none, the client that Qontak publishes]
    #[arg(long, requires = "client_secret_key", help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub client_id_key: Option<String>,

    /// The key of the source Secret that holds the OAuth client's secret [default: none, the client that Qontak publishes]
    #[arg(long, requires = "client_id_key", help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub client_secret_key: Option<String>,

    /// The flags of every provider.
    #[command(flatten)]
    pub shared: SharedArgs,
}

pub(super) const WORDS: ProviderWords = ProviderWords {
    stdin_flag: "--login-stdin",
    file_flags: "--username-file with --password-file",
    key_flags: "--username-key, --password-key, --client-id-key or --client-secret-key",
    login: "the user name and the password",
    not_found: None,
};

/// The files that contain the login.
pub(super) struct LoginFiles {
    username: PathBuf,
    password: PathBuf,
    /// The OAuth client's id and secret. `None` for the public OAuth client.
    client: Option<ClientFiles>,
}

struct ClientFiles {
    id: PathBuf,
    secret: PathBuf,
}

impl QontakArgs {
    /// Checks the flags.
    pub(super) fn check(self) -> Result<ExchangePlan, CommandError> {
        let keys = [&self.username_key, &self.password_key, &self.client_id_key, &self.client_secret_key];
        let names_keys = keys.into_iter().any(Option::is_some);
        let default = QontakKeys::default();
        let keys = QontakKeys {
            username: self.username_key.unwrap_or(default.username),
            password: self.password_key.unwrap_or(default.password),
            client_id: self.client_id_key,
            client_secret: self.client_secret_key,
        };
        let request = QontakRequest::new(self.shared.endpoint_of(Provider::Qontak), keys)?;
        // The flags require each other, so there are two files or four.
        let client = self.client_id_file.zip(self.client_secret_file);
        let client = client.map(|(id, secret)| ClientFiles { id, secret });
        let user = self.username_file.zip(self.password_file);
        let files = user.map(|(username, password)| LoginFiles { username, password, client });
        let flags = LoginFlags { stdin: self.login_stdin, files, names_keys };
        ExchangePlan::check(ProviderRequest::Qontak(request.clone()), flags, self.shared, |input| {
            Credentials::Qontak(request, input)
        })
    }
}

/// The OAuth client that requests the token. The default is the public one.
struct OauthClient {
    id: SecretString,
    secret: SecretString,
}

impl Default for OauthClient {
    fn default() -> Self {
        Self { id: QONTAK_PUBLIC_CLIENT_ID.into(), secret: QONTAK_PUBLIC_CLIENT_SECRET.into() }
    }
}

/// Reads the login.
pub(super) async fn read_login(
    request: &QontakRequest,
    input: &LoginInput<LoginFiles>,
) -> Result<QontakLogin, CommandError> {
    let endpoint = request.endpoint.clone();
    match input {
        LoginInput::Prompt => {
            let username = prompt::name("The user name", "Qontak user name: ").await?;
            let password = prompt::secret("The password", "Password: ").await?;
            let OauthClient { id: client_id, secret: client_secret } = OauthClient::default();
            Ok(QontakLogin { endpoint, username, password, client_id, client_secret })
        }
        LoginInput::Stdin => parse_stdin(request, &read_stdin()?),
        LoginInput::Files(LoginFiles { username, password, client }) => {
            let username = read_file("--username-file", username)?;
            let password = read_file("--password-file", password)?;
            let client = match client {
                None => OauthClient::default(),
                Some(ClientFiles { id, secret }) => OauthClient {
                    id: read_file("--client-id-file", id)?,
                    secret: read_file("--client-secret-file", secret)?,
                },
            };
            Ok(QontakLogin { endpoint, username, password, client_id: client.id, client_secret: client.secret })
        }
    }
}

/// A line for each value.
fn parse_stdin(request: &QontakRequest, bytes: &[u8]) -> Result<QontakLogin, CommandError> {
    let value = |what: &str, line: &[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        source::check_value(&format!("The {what} on standard input"), line)
    };
    let lines: Vec<&[u8]> = without_line_end(bytes).split(|byte| *byte == b'\n').collect();
    let (username, password, client) = match lines.as_slice() {
        [username, password] => (username, password, None),
        [username, password, id, secret] => (username, password, Some((id, secret))),
        _ => {
            return Err(CommandError::local(
                "--login-stdin needs two lines, user name and password, or four, with the OAuth client's id and secret after them; standard input has another number of lines",
            ));
        }
    };
    let (username, password) = (value("user name", username)?, value("password", password)?);
    let client = match client {
        None => OauthClient::default(),
        Some((id, secret)) => OauthClient { id: value("client id", id)?, secret: value("client secret", secret)? },
    };
    let endpoint = request.endpoint.clone();
    Ok(QontakLogin { endpoint, username, password, client_id: client.id, client_secret: client.secret })
}

/// The end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  # Prompt for the login, and verify its token
  apicredential-operator exchange qontak --check

  # Test a source Secret of the current context under the operator's rules
  apicredential-operator exchange qontak --from-secret care/qontak-login

  # Get a token for a script, without the token or the password in any command line
  TOKEN=$(apicredential-operator exchange qontak --username-file user --password-file password -o token)";

#[cfg(test)]
mod tests {
    use apicredential::reason::Reason;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn parse(text: &str) -> Result<[String; 4], Option<Reason>> {
        let request = QontakRequest::new(Provider::Qontak.default_endpoint(), QontakKeys::default()).unwrap();
        let QontakLogin { endpoint: _, username, password, client_id, client_secret } =
            parse_stdin(&request, text.as_bytes()).map_err(|failure| failure.reason)?;
        Ok([username, password, client_id, client_secret].map(|value| value.expose_secret().to_owned()))
    }

    #[test]
    fn a_piped_login_has_two_lines_or_four() {
        let public = ["user", "pass", QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET];
        assert_eq!(parse("user\npass\n").unwrap(), public);
        assert_eq!(parse("user\r\npass").unwrap(), public);
        assert_eq!(parse("user\npass\nid\nsecret\n").unwrap(), ["user", "pass", "id", "secret"]);
        for text in ["", "user", "user\n", "user\npass\nid", "user\npass\nid\nsecret\nmore"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(parse("user\n\n\n\n"), Err(Some(Reason::SourceKeyEmpty)));
    }
}
