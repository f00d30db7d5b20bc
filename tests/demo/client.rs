//! The HTTPS client of the demo. It also prints the times in a JWT without printing the JWT.

#![allow(clippy::disallowed_methods, reason = "this client belongs to the demo, not to the operator")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Parser;
use serde_json::Value;

#[derive(Parser)]
#[command(name = "demo-client")]
enum Command {
    /// GET a URL and print the body
    Get(Target),
    /// PUT standard input to a URL
    Put(Target),
    /// GET the mock provider's counts and print one line for each client
    Requests(Target),
    /// Read a JWT from standard input and print its length, iat and exp
    Times,
}

#[derive(clap::Args)]
struct Target {
    url: String,
    /// A CA certificate to trust (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file with one header, as for `curl -H @FILE`, to keep a token off the command line
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Get(target) => get(&target).await,
        Command::Put(target) => put(&target).await,
        Command::Requests(target) => requests(&target).await,
        Command::Times => times(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn get(target: &Target) -> Result<(), Box<dyn Error>> {
    let mut request = client(target.ca.as_deref())?.get(&target.url);
    if let Some(file) = &target.header_file {
        let line = std::fs::read_to_string(file)?;
        let (name, value) = line.trim_end().split_once(": ").ok_or("the file contains no header")?;
        request = request.header(name, value);
    }
    let response = request.send().await?;
    let status = response.status();
    let body = response.text().await?;
    println!("{status} {}", body.trim_end());
    if status.is_success() { Ok(()) } else { Err("the status is not 2xx".into()) }
}

async fn put(target: &Target) -> Result<(), Box<dyn Error>> {
    let body = input()?;
    client(target.ca.as_deref())?.put(&target.url).body(body).send().await?.error_for_status()?;
    Ok(())
}

async fn requests(target: &Target) -> Result<(), Box<dyn Error>> {
    let text = client(target.ca.as_deref())?.get(&target.url).send().await?.error_for_status()?.text().await?;
    let counts: Value = serde_json::from_str(&text)?;
    for provider in ["welkin", "qontak"] {
        for (client, counts) in counts[provider].as_object().into_iter().flatten() {
            let (requests, tokens, status) = (&counts["requests"], &counts["tokens"], &counts["lastStatus"]);
            println!("{provider} {client}: requests {requests}, tokens {tokens}, last status {status}");
        }
    }
    Ok(())
}

fn client(ca: Option<&Path>) -> Result<reqwest::Client, Box<dyn Error>> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let roots = match ca {
        Some(file) => reqwest::Certificate::from_pem_bundle(&std::fs::read(file)?)?,
        None => Vec::new(),
    };
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only(roots).timeout(Duration::from_secs(10));
    Ok(builder.build()?)
}

fn times() -> Result<(), Box<dyn Error>> {
    let token = input()?;
    let claims = token.split('.').nth(1).ok_or("standard input is not a JWT")?;
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims)?)?;
    let time = |name: &str| claims[name].as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let (issued, expires) = (time("iat").ok_or("the JWT has no iat")?, time("exp").ok_or("the JWT has no exp")?);
    println!("{} characters; iat {issued}; exp {expires}", token.len());
    Ok(())
}

fn input() -> Result<String, std::io::Error> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
