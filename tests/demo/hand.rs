//! What the demo needs beside kubectl: an HTTPS client, and a look at a token's times without showing the token.

#![allow(clippy::disallowed_methods, reason = "a client of the demo's own, not the operator's")]
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
#[command(name = "demo-hand")]
enum Command {
    /// GET a page and print its body
    Get(Page),
    /// PUT standard input
    Put(Page),
    /// GET the stand-in's counts and print a line for each client
    Requests(Page),
    /// Read a JWT from standard input and print its length and times
    Times,
}

#[derive(clap::Args)]
struct Page {
    url: String,
    /// A certificate authority to trust (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file with one header, as `curl -H @FILE` takes it: a token does not belong on a command line
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Get(page) => get(&page).await,
        Command::Put(page) => put(&page).await,
        Command::Requests(page) => requests(&page).await,
        Command::Times => times(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-hand: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn get(page: &Page) -> Result<(), Box<dyn Error>> {
    let mut request = client(page.ca.as_deref())?.get(&page.url);
    if let Some(file) = &page.header_file {
        let line = std::fs::read_to_string(file)?;
        let (name, value) = line.trim_end().split_once(": ").ok_or("the file holds no header")?;
        request = request.header(name, value);
    }
    let response = request.send().await?;
    let status = response.status();
    let body = response.text().await?;
    println!("{status} {}", body.trim_end());
    if status.is_success() { Ok(()) } else { Err("this is not a success".into()) }
}

async fn put(page: &Page) -> Result<(), Box<dyn Error>> {
    let body = input()?;
    client(page.ca.as_deref())?.put(&page.url).body(body).send().await?.error_for_status()?;
    Ok(())
}

async fn requests(page: &Page) -> Result<(), Box<dyn Error>> {
    let text = client(page.ca.as_deref())?.get(&page.url).send().await?.error_for_status()?.text().await?;
    let counts: Value = serde_json::from_str(&text)?;
    for provider in ["welkin", "qontak"] {
        for (client, counts) in counts[provider].as_object().into_iter().flatten() {
            let (requests, tokens, status) = (&counts["requests"], &counts["tokens"], &counts["lastStatus"]);
            println!("{provider} {client}: requests {requests}, tokens {tokens}, last answer {status}");
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
    let claims = token.split('.').nth(1).ok_or("this is no JWT")?;
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims)?)?;
    let time = |name: &str| claims[name].as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let (issued, expires) = (time("iat").ok_or("there is no iat")?, time("exp").ok_or("there is no exp")?);
    println!("{} characters; iat {issued}; exp {expires}", token.len());
    Ok(())
}

fn input() -> Result<String, std::io::Error> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
