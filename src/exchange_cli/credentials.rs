//! The credentials, from wherever they are, under the rules that hold for a source Secret.

use std::fs::File;
use std::io::Read;

use apicredential::plan::RequestPlan;
use apicredential::providers::{Login, QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET};
use apicredential::reason::Reason;
use apicredential::source;
use apicredential::source::SecretValues;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::failure::CommandError;
use super::order::{Credentials, ExchangePlan};
use super::{kubeconfig, prompt};

/// More than four values of the largest size with their line ends: the rest of a longer input is never read.
const LARGEST: u64 = 17 * 1024;

/// Reads what the request needs.
pub(super) async fn gather(order: &ExchangePlan) -> Result<Login, CommandError> {
    let request = &order.request;
    let values = match &order.credentials {
        Credentials::Prompt => SecretValues::given(completed(request, ask(request).await?)),
        Credentials::Stdin => {
            let bytes = read(std::io::stdin().lock())
                .map_err(|_| CommandError::local("standard input cannot be read; give the credentials another way"))?;
            SecretValues::given(completed(request, from_lines(request, &bytes)?))
        }
        Credentials::Files(files) => {
            let texts = files.iter().map(|(flag, path)| from_file(flag, path)).collect::<Result<_, _>>()?;
            SecretValues::given(completed(request, texts))
        }
        Credentials::Secret(secret) => kubeconfig::read(request, secret).await?,
    };
    // The parts of a request are as many as its values, see `from_lines` and `completed`.
    values.inputs(request).ok_or_else(|| CommandError::from(apicredential::reason::Refusal::from(Reason::InvalidSpec)))
}

async fn ask(request: &RequestPlan) -> Result<Vec<SecretString>, CommandError> {
    match request {
        RequestPlan::Welkin { client_name, .. } => {
            Ok(vec![prompt::secret("The secret", &format!("Secret of the API client {client_name}: ")).await?])
        }
        RequestPlan::Qontak { .. } => Ok(vec![
            prompt::name("The user name", "Qontak user name: ").await?,
            prompt::secret("The password", "Password: ").await?,
        ]),
    }
}

/// With the public OAuth client, where none was given.
fn completed(request: &RequestPlan, mut values: Vec<SecretString>) -> Vec<SecretString> {
    if matches!(request, RequestPlan::Qontak { .. }) && values.len() == 2 {
        values.extend([QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET].map(SecretString::from));
    }
    values
}

fn from_lines(request: &RequestPlan, bytes: &[u8]) -> Result<Vec<SecretString>, CommandError> {
    let text = without_line_end(bytes);
    if let RequestPlan::Welkin { .. } = request {
        return Ok(vec![source::value("What standard input holds", text)?]);
    }
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if !matches!(lines.len(), 2 | 4) {
        return Err(CommandError::local(
            "--login-stdin needs two lines, user name and password, or four, with the OAuth client's id and secret after them; standard input has another number of lines",
        ));
    }
    let whats = ["user name", "password", "client id", "client secret"];
    let value =
        |(what, line): (&str, &&[u8])| source::value(&format!("The {what} on standard input"), strip(line, b"\r"));
    Ok(whats.into_iter().zip(&lines).map(value).collect::<Result<_, _>>()?)
}

/// Whoever pipes a line means what is on it.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    match bytes.strip_suffix(b"\n") {
        Some(line) => strip(line, b"\r"),
        None => bytes,
    }
}

fn strip<'a>(line: &'a [u8], end: &[u8]) -> &'a [u8] {
    line.strip_suffix(end).unwrap_or(line)
}

/// As it is, a line end included: so `kubectl create secret --from-file` would take it, and so the operator would refuse it.
fn from_file(flag: &str, path: &std::path::Path) -> Result<SecretString, CommandError> {
    let bytes = File::open(path).and_then(read).map_err(|_| {
        CommandError::local(format!("{flag} {} cannot be read; correct the path or its permissions", path.display()))
    })?;
    Ok(source::value(&format!("What {flag} {} holds", path.display()), &bytes)?)
}

/// In one piece, so that no growing buffer leaves a part of it behind.
fn read(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(32 * 1024));
    from.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use apicredential::api::{Provider, QontakKeys};
    use apicredential::endpoint::{AllowedEndpoints, PathSegment};

    fn welkin() -> RequestPlan {
        let segment = || PathSegment::parse("a").unwrap();
        let endpoint = AllowedEndpoints::default_for(Provider::Welkin);
        RequestPlan::Welkin { endpoint, tenant: segment(), client_name: segment(), key: "secret".to_owned() }
    }

    fn qontak() -> RequestPlan {
        RequestPlan::Qontak { endpoint: AllowedEndpoints::default_for(Provider::Qontak), keys: QontakKeys::default() }
    }

    fn lines(request: &RequestPlan, text: &str) -> Result<Vec<String>, Option<Reason>> {
        match from_lines(request, text.as_bytes()) {
            Ok(values) => Ok(completed(request, values).iter().map(|value| value.expose_secret().to_owned()).collect()),
            Err(failure) => Err(failure.reason),
        }
    }

    #[test]
    fn one_line_end_is_not_part_of_a_piped_secret_and_everything_else_is() {
        for text in ["a b", "a b\n", "a b\r\n"] {
            assert_eq!(lines(&welkin(), text).unwrap(), ["a b"], "{text:?}");
        }
        assert_eq!(lines(&welkin(), "two\nlines").unwrap(), ["two\nlines"]);
        for text in [" a\n", "a \n", "a\n\n", "\ta"] {
            assert_eq!(lines(&welkin(), text), Err(Some(Reason::SourceHasWhitespace)), "{text:?}");
        }
        assert_eq!(lines(&welkin(), "\n"), Err(Some(Reason::SourceKeyEmpty)));
        assert_eq!(lines(&welkin(), &"x".repeat(4097)), Err(Some(Reason::SourceTooLarge)));
    }

    #[test]
    fn a_piped_login_has_two_lines_or_four() {
        let public = [QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET];
        assert_eq!(lines(&qontak(), "user\npass\n").unwrap(), [&["user", "pass"][..], &public].concat());
        assert_eq!(lines(&qontak(), "user\r\npass").unwrap(), [&["user", "pass"][..], &public].concat());
        assert_eq!(lines(&qontak(), "user\npass\nid\nsecret\n").unwrap(), ["user", "pass", "id", "secret"]);
        for text in ["", "user", "user\n", "user\npass\nid"] {
            assert!(lines(&qontak(), text).is_err(), "{text:?}");
        }
        assert_eq!(lines(&qontak(), "user\n\n\n\n"), Err(Some(Reason::SourceKeyEmpty)));
    }
}
