//! `kubectl apicredential`: what the operator's users ask at a shell, answered with the operator's own words.
//!
//! Everything it knows about credentials comes from the library: the types, the table of reasons, the checks of a spec and
//! of a Secret. So it never says other than the operator does.

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser as _;
use zeroizing_alloc::ZeroAlloc;

use crate::args::{Args, Command};
use crate::error::{Exit, PluginError};
use crate::output::Terminal;

mod args;
mod connection;
mod error;

mod completion;
mod create;
mod doctor;
mod list;
mod renew;
mod status;

mod conditions;
mod find;
mod list_row;
mod next_step;
mod operator_flags;

mod colour;
mod durations;
mod output;
mod table;
mod text_tree;

/// Zeroes what is freed: a source Secret passes through here, too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let args = Args::parse();
    let terminal = Terminal::detect();
    match start(args, &terminal) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal.error(&failure.message);
            failure.exit.into()
        }
    }
}

fn start(args: Args, terminal: &Terminal) -> Result<Exit, PluginError> {
    // Before anything else: the TLS client asks for the process-wide provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err(PluginError::local("a TLS provider was installed twice"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|_| PluginError::local("the system gives no threads"))?;
    runtime.block_on(run(args, terminal))
}

async fn run(args: Args, terminal: &Terminal) -> Result<Exit, PluginError> {
    let connect = args.connect;
    match args.command {
        Command::List(flags) => list::run(&connect.open().await?, &flags, terminal).await,
        Command::Create(flags) => create::run(&connect, &flags, terminal).await,
        Command::Completion(flags) => completion::script(&flags, terminal),
        Command::Complete(words) => completion::complete(&connect, &words, terminal).await,
        Command::Doctor(flags) => doctor::run(&connect.open().await?, &flags, terminal).await,
        Command::Renew(flags) => renew::run(&connect.open().await?, &flags, terminal).await,
        Command::Status(flags) => status::run(&connect.open().await?, &flags, terminal).await,
    }
}
