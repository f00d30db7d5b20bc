//! The command `exchange`: requests one token manually, to use it or to find out why the operator gets none.
//!
//! The steps are: check the flags and the list of allowed endpoints, read the credentials, send one request (with
//! `--check` a second one), print the result. They run the operator's own code, so the result is the operator's: the rules
//! of a source Secret, the provider client, the response parsers and the classes of reasons, which become exit codes.
//! Nothing is written to a cluster. The result goes to standard output, everything else to standard error. The flags and
//! the login of each provider are in its module, `welkin` or `qontak`.

use std::io::Write as _;
use std::process::ExitCode;

use apicredential::decide::{self, Cause, TokenEvaluation};
use apicredential::providers::Issued;
use apicredential::reason::Reason;
use apicredential::schedule::{Margin, Policy};
use secrecy::zeroize::Zeroizing;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::process;
use crate::telemetry::{self, LogFormat};

mod credentials;
mod failure;
mod flags;
mod kubeconfig;
mod plan;
mod print;
mod prompt;
mod qontak;
mod welkin;

pub use failure::Exit;
pub use flags::ExchangeArgs;

use failure::CommandError;
use plan::ExchangePlan;

/// The exit code that a shell reports for a program that was interrupted by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Requests one token and prints the result.
pub fn exchange(args: ExchangeArgs) -> ExitCode {
    // For the warnings of `harden_process`, and so that a panic message contains no secret.
    if let Err(error) = telemetry::init(LogFormat::Text, "warn") {
        return CommandError::usage(error.to_string()).report();
    }
    process::harden_process();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return CommandError::local("the system gives no threads; try again").report(),
    };
    let code = runtime.block_on(async {
        tokio::select! {
            // First, so that signals are handled before a prompt turns the echo off. A signal drops the prompt, which turns the
            // echo on again.
            biased;
            () = interrupted() => ExitCode::from(INTERRUPTED),
            result = run(args) => result.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS),
        }
    });
    // A thread may still be reading the terminal.
    runtime.shutdown_background();
    code
}

async fn run(args: ExchangeArgs) -> Result<(), CommandError> {
    let plan = args.provider.check()?;
    let client = plan.provider_client()?;
    let login = credentials::read_login(&plan).await?;
    let request = &plan.request;
    let issued = client.exchange(&login).await.map_err(|failure| CommandError::from_exchange(request, &failure))?;
    evaluate(&plan, &issued)?;
    let check = match plan.check {
        false => None,
        true => Some(client.check(request.provider(), request.endpoint(), &issued.token).await),
    };
    let error = check.as_ref().and_then(|check| CommandError::from_check(request, check));
    // A program gets only a token that passed the requested check. A user also sees the result of a failed check.
    if error.is_none() || plan.output.is_none() {
        write_stdout(&print::issued(plan.output, request, &issued, check.as_ref()))?;
    }
    error.map_or(Ok(()), Err)
}

/// Evaluates the token as the operator does if no token is stored.
fn evaluate(plan: &ExchangePlan, issued: &Issued) -> Result<(), CommandError> {
    let policy = Policy { margin: Margin::Default, max_age: None, assumed_lifetime: print::ASSUMED_LIFETIME };
    match decide::evaluate_token(Cause::Missing, issued.issued_at, &issued.lifetime, None, &policy, clock::now()) {
        TokenEvaluation::AlreadyExpired => {
            Err(CommandError::from_exchange(&plan.request, &Reason::TokenAlreadyExpired.into()))
        }
        TokenEvaluation::Write { .. } | TokenEvaluation::NotExtended | TokenEvaluation::StillRevoked => Ok(()),
    }
}

/// Writes all at once, so that the buffer of standard output keeps no part of the token.
fn write_stdout(text: &Zeroizing<String>) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|_| CommandError::local("the result cannot be written to standard output; the token is not kept"))
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without a handler, the signals end the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
