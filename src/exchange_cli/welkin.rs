//! `exchange welkin`: its flags, and the API client's secret from a terminal, standard input or a file.

use std::path::PathBuf;

use apicredential::api::{Provider, WelkinKeys};
use apicredential::endpoint::PathSegment;
use apicredential::providers::{ProviderRequest, WelkinLogin, WelkinRequest};
use apicredential::source;

use super::credentials::{read_file, read_stdin, without_line_end};
use super::failure::CommandError;
use super::flags::{CREDENTIALS, ProviderWords, SharedArgs, key};
use super::plan::{Credentials, ExchangePlan, LoginFlags, LoginInput};
use super::prompt;

/// The flags of `exchange welkin`.
#[derive(Debug, clap::Args)]
pub struct WelkinArgs {
    /// The Welkin tenant, such as gh
    #[arg(long, value_name = "NAME", value_parser = PathSegment::parse)]
    pub tenant: PathSegment,

    /// The name of the API client, such as VBOPNRYRWJIP
    #[arg(long, value_name = "NAME", value_parser = PathSegment::parse)]
    pub client_name: PathSegment,

    /// Read the API client's secret from standard input, without one line break at its end
    #[arg(long, group = "credentials", help_heading = CREDENTIALS)]
    pub secret_stdin: bool,

    /// Read the API client's secret from a file, without any change
    #[arg(long, group = "credentials", help_heading = CREDENTIALS, value_name = "PATH")]
    pub secret_file: Option<PathBuf>,

    /// The key of the source Secret that holds the API client's secret [default: secret]
    #[arg(long, help_heading = CREDENTIALS, value_name = "KEY", value_parser = key)]
    pub key: Option<String>,

    /// The flags of every provider.
    #[command(flatten)]
    pub shared: SharedArgs,
}

pub(super) const WORDS: ProviderWords = ProviderWords {
    stdin_flag: "--secret-stdin",
    file_flags: "--secret-file",
    key_flags: "--key",
    login: "the secret, --tenant and --client-name",
    not_found: Some("Welkin does not know this tenant or client; correct --tenant, --client-name or --endpoint."),
};

impl WelkinArgs {
    /// Checks the flags.
    pub(super) fn check(self) -> Result<ExchangePlan, CommandError> {
        let names_keys = self.key.is_some();
        let keys = self.key.map_or_else(WelkinKeys::default, |secret| WelkinKeys { secret });
        let endpoint = self.shared.endpoint_of(Provider::Welkin);
        let request = WelkinRequest::new(endpoint, self.tenant, self.client_name, keys);
        let flags = LoginFlags { stdin: self.secret_stdin, files: self.secret_file, names_keys };
        ExchangePlan::check(ProviderRequest::Welkin(request.clone()), flags, self.shared, |input| {
            Credentials::Welkin(request, input)
        })
    }
}

/// Reads the API client's secret.
pub(super) async fn read_login(
    request: &WelkinRequest,
    input: &LoginInput<PathBuf>,
) -> Result<WelkinLogin, CommandError> {
    match input {
        LoginInput::Prompt => {
            let question = format!("Secret of the API client {}: ", request.client_name);
            Ok(request.with_secret(prompt::secret("The secret", &question).await?))
        }
        LoginInput::Stdin => parse_stdin(request, &read_stdin()?),
        LoginInput::Files(path) => Ok(request.with_secret(read_file("--secret-file", path)?)),
    }
}

/// The secret is everything before the last line break.
fn parse_stdin(request: &WelkinRequest, bytes: &[u8]) -> Result<WelkinLogin, CommandError> {
    Ok(request.with_secret(source::check_value("The content of standard input", without_line_end(bytes))?))
}

/// The end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  # Prompt for the secret, and report how long a token of this client is valid
  apicredential-operator exchange welkin --tenant gh --client-name VBOPNRYRWJIP

  # Test a source Secret of the current context under the operator's rules
  apicredential-operator exchange welkin --tenant gh --client-name VBOPNRYRWJIP --from-secret care/welkin-client

  # Call the API, without the token or the secret in any command line
  pass show welkin | apicredential-operator exchange welkin --tenant gh --client-name VBOPNRYRWJIP --secret-stdin -o header |
    curl -H @- https://api.live.welkincloud.io/gh/...";

#[cfg(test)]
mod tests {
    use apicredential::reason::Reason;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn parse(text: &str) -> Result<String, Option<Reason>> {
        let segment = || PathSegment::parse("a").unwrap();
        let request =
            WelkinRequest::new(Provider::Welkin.default_endpoint(), segment(), segment(), WelkinKeys::default());
        match parse_stdin(&request, text.as_bytes()) {
            Ok(login) => Ok(login.secret.expose_secret().to_owned()),
            Err(failure) => Err(failure.reason),
        }
    }

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_a_piped_secret_and_everything_else_is() {
        for text in ["a b", "a b\n", "a b\r\n"] {
            assert_eq!(parse(text).unwrap(), "a b", "{text:?}");
        }
        assert_eq!(parse("two\nlines").unwrap(), "two\nlines");
        for text in
            [" a\n", "a \n", "a\n\n", "\ta", "\u{feff}a\n", "a\u{a0}", "\u{200b}a", "a\0", "a\u{b}\n", "\u{b}a", "\0a"]
        {
            assert_eq!(parse(text), Err(Some(Reason::SourceHasWhitespace)), "{text:?}");
        }
        assert_eq!(parse("\n"), Err(Some(Reason::SourceKeyEmpty)));
        assert_eq!(parse(&"x".repeat(4097)), Err(Some(Reason::SourceTooLarge)));
    }
}
