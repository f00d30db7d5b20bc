//! `kubectl apicredential`: a kubectl plugin that shows, renews, checks and creates ApiCredentials.
//!
//! It uses the operator's own library: the types, the table of reasons, the checks of a spec and of a source Secret. So the
//! plugin and the operator always report the same.

use std::alloc::System;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
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

/// Zeroes memory when it is freed, because source Secrets pass through this process.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let args = Args::parse();
    let terminal = Terminal::detect();
    match start(args, &terminal) {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal.error(&error.message);
            error.exit.into()
        }
    }
}

fn start(args: Args, terminal: &Terminal) -> Result<Exit, PluginError> {
    // Before anything else: the TLS client uses the process-wide provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err(PluginError::local("The TLS provider was installed twice; please report this."));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|_| {
        PluginError::local("The async runtime cannot start; check the limits of this process (ulimit -a).")
    })?;
    runtime.block_on(run(args, terminal))
}

async fn run(args: Args, terminal: &Terminal) -> Result<Exit, PluginError> {
    let connect = args.connect;
    match args.command {
        Command::List(flags) => list::run(&connect.open().await?, &flags, terminal).await,
        Command::Create(flags) => create::run(&connect, &flags, terminal).await,
        Command::Completion(flags) => completion::script(&flags, Args::command(), terminal),
        Command::Complete(words) => completion::complete(&connect, &words, &Args::command(), terminal).await,
        Command::Doctor(flags) => doctor::run(&connect.open().await?, &flags, terminal).await,
        Command::Renew(flags) => renew::run(&connect.open().await?, &flags, terminal).await,
        Command::Status(flags) => status::run(&connect.open().await?, &flags, terminal).await,
    }
}
