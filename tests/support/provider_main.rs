//! Runs the mock provider manually: `make provider`, or `cargo run --example provider -- --help`.

#![allow(dead_code, unused_imports, reason = "the tests use more of the support modules than this program")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up ends the run, with its reason"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod certificates;
mod provider;
mod random;
mod reaper;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use provider::{Client, Front, MockProvider, Reply};

/// Mocks Welkin and Qontak on loopback, over TLS with a certificate authority (CA) of its own.
///
/// Accepts one client of each provider. While it runs:
///
///   curl --cacert CA ORIGIN/_mock/requests
///       counts the requests of each client
///   curl --cacert CA -X PUT ORIGIN/_mock/clients/welkin/VBOPNRYRWJIP -d '{"secret": "new"}'
///       accepts another secret from now on; also "lifetimeSeconds", and "status" (such as 503) to be down
#[derive(Parser)]
#[command(name = "provider", verbatim_doc_comment)]
struct Arguments {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// The file for the CA's certificate (PEM), for --provider-ca-file and curl --cacert
    #[arg(long, value_name = "FILE", default_value = "target/provider-ca.pem")]
    ca_out: PathBuf,
    /// The name of the Welkin API client; any tenant is accepted
    #[arg(long, value_name = "NAME", default_value = "VBOPNRYRWJIP")]
    welkin_client: String,
    /// The Welkin client's secret; without it any is accepted
    #[arg(long, value_name = "TEXT")]
    welkin_secret: Option<String>,
    /// The lifetime of a Welkin token
    #[arg(long, value_name = "SECONDS", default_value_t = 3600.0)]
    welkin_lifetime: f64,
    /// The name of the Qontak user
    #[arg(long, value_name = "NAME", default_value = "qontak@example.com")]
    qontak_user: String,
    /// The Qontak user's password; without it any is accepted
    #[arg(long, value_name = "TEXT")]
    qontak_password: Option<String>,
    /// The lifetime of a Qontak token; 0: it never expires
    #[arg(long, value_name = "SECONDS", default_value_t = 29_823_918.0)]
    qontak_lifetime: f64,
    /// Return the valid token with fewer seconds to Qontak requests, as Doorkeeper may
    #[arg(long)]
    qontak_reuse: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mock_provider = match MockProvider::listen(arguments.listen, Front::Trusted) {
        Ok(mock_provider) => mock_provider,
        Err(error) => {
            eprintln!("provider: cannot listen on {}: {error}", arguments.listen);
            return ExitCode::FAILURE;
        }
    };
    let folder = arguments.ca_out.parent().unwrap_or(Path::new(""));
    let written =
        std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&arguments.ca_out, mock_provider.ca_pem()));
    if let Err(error) = written {
        eprintln!("provider: cannot write {}: {error}", arguments.ca_out.display());
        return ExitCode::FAILURE;
    }
    introduce(&mock_provider, &arguments);
    println!("origin {}", mock_provider.origin());
    println!("ca {}", arguments.ca_out.display());
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    ExitCode::SUCCESS
}

fn introduce(mock_provider: &MockProvider, arguments: &Arguments) {
    let welkin = mock_provider.welkin(&arguments.welkin_client);
    accept(&welkin, arguments.welkin_secret.as_deref());
    welkin.lifetime(arguments.welkin_lifetime);
    let qontak = mock_provider.qontak(&arguments.qontak_user);
    accept(&qontak, arguments.qontak_password.as_deref());
    qontak.reuse_tokens(arguments.qontak_reuse);
    if arguments.qontak_lifetime == 0.0 {
        qontak.always(Reply::token().without_expiry());
    } else {
        qontak.lifetime(arguments.qontak_lifetime);
    }
}

fn accept(client: &Client, secret: Option<&str>) {
    if let Some(secret) = secret {
        client.accept(secret);
    }
}
