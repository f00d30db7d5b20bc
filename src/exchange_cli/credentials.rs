//! Reads the credentials, under the rules of a source Secret wherever they come from.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use apicredential::providers::Login;
use apicredential::source;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::failure::CommandError;
use super::plan::{Credentials, ExchangePlan};
use super::{kubeconfig, qontak, welkin};

/// More than four values of the largest size with their line breaks. The rest of a longer input is not read.
const MAX_INPUT: u64 = 17 * 1024;

/// Reads the credentials of a plan.
pub(super) async fn read_login(plan: &ExchangePlan) -> Result<Login, CommandError> {
    match &plan.credentials {
        Credentials::Secret(secret) => Ok(kubeconfig::read(&plan.request, secret).await?.login),
        Credentials::Welkin(request, input) => welkin::read_login(request, input).await.map(Login::Welkin),
        Credentials::Qontak(request, input) => qontak::read_login(request, input).await.map(Login::Qontak),
    }
}

/// Reads standard input to its end.
pub(super) fn read_stdin() -> Result<Zeroizing<Vec<u8>>, CommandError> {
    read(std::io::stdin().lock())
        .map_err(|_| CommandError::local("standard input cannot be read; provide the login another way"))
}

/// Reads one value from a file. A line break at its end is part of the value, and so an error: `kubectl create secret
/// --from-file` keeps it as well, and the operator rejects such a source Secret.
pub(super) fn read_file(flag: &str, path: &Path) -> Result<SecretString, CommandError> {
    let bytes = File::open(path).and_then(read).map_err(|_| {
        CommandError::local(format!("{flag} {} cannot be read; correct the path or its permissions", path.display()))
    })?;
    Ok(source::check_value(&format!("The content of {flag} {}", path.display()), &bytes)?)
}

/// Removes the line break that ends the input of a pipe.
pub(super) fn without_line_end(bytes: &[u8]) -> &[u8] {
    match bytes.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => bytes,
    }
}

/// Reads into one allocation: a buffer that grows would leave a part of the secret in freed memory.
fn read(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(32 * 1024));
    from.take(MAX_INPUT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
