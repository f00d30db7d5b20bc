//! The exchange by hand: what the vendors' pages describe with a script or an API client, for who wants a token now or
//! wants to know why there is none.
//!
//! Flags → the way and the allow-list → the credentials → one request (with `--check` a second one) → what is printed. Everything between is the
//! operator's own code: the rules of a source, the list of endpoints, the wire, the reading and judging of the answer,
//! the classes of reasons, which here become exit codes. Nothing is written to a cluster. What was asked for goes to
//! standard output, everything else to standard error.

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
mod order;
mod print;
mod prompt;

pub use failure::Exit;
pub use flags::ExchangeArgs;

use failure::CommandError;
use order::ExchangePlan;

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Asks once and says what came of it.
pub fn exchange(args: ExchangeArgs) -> ExitCode {
    // For the warnings of `seal`, and so that a panic cannot quote what it was working on.
    if let Err(error) = telemetry::init(LogFormat::Text, "warn") {
        return CommandError::usage(error.to_string()).tell();
    }
    process::harden_process();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return CommandError::local("the system gives no threads; try again").tell(),
    };
    let code = runtime.block_on(async {
        tokio::select! {
            // First, so that signals are awaited before a prompt takes the echo; what is under way is dropped, which gives
            // the terminal its echo back.
            biased;
            () = interrupted() => ExitCode::from(INTERRUPTED),
            ended = ask(args) => ended.map_or_else(|failure| failure.tell(), |()| ExitCode::SUCCESS),
        }
    });
    // A prompt that nobody answered is still being read.
    runtime.shutdown_background();
    code
}

async fn ask(args: ExchangeArgs) -> Result<(), CommandError> {
    let order = args.check()?;
    let wire = order.wire()?;
    let inputs = credentials::gather(&order).await?;
    let issued = wire.exchange(&inputs).await.map_err(|failure| CommandError::answered(&order.request, &failure))?;
    evaluate(&order, &issued)?;
    let checked = match order.check {
        false => None,
        true => Some(wire.check(order.request.provider(), order.request.endpoint(), &issued.token).await),
    };
    let refused = checked.as_ref().and_then(|verdict| CommandError::checked(&order.request, verdict));
    // A program gets a token that passed whatever was asked for, or none; a person sees how far it went.
    if refused.is_none() || order.output.is_none() {
        say(&print::issued(order.output, &order.request, &issued, checked.as_ref()))?;
    }
    refused.map_or(Ok(()), Err)
}

/// As the operator judges an answer for which nothing is stored.
fn evaluate(order: &ExchangePlan, issued: &Issued) -> Result<(), CommandError> {
    let policy = Policy { margin: Margin::Default, max_age: None, assumed_lifetime: print::ASSUMED_LIFETIME };
    match decide::evaluate_token(Cause::Missing, issued.issued_at, &issued.lifetime, None, &policy, clock::now()) {
        TokenEvaluation::AlreadyExpired => {
            Err(CommandError::answered(&order.request, &Reason::TokenAlreadyExpired.into()))
        }
        TokenEvaluation::Write { .. } | TokenEvaluation::NotExtended | TokenEvaluation::StillRevoked => Ok(()),
    }
}

/// In one piece, so that standard output's buffer keeps nothing of it.
fn say(text: &Zeroizing<String>) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|_| CommandError::local("the result cannot be written to standard output; the token is not kept"))
}

/// SIGINT or SIGTERM.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Then they end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
