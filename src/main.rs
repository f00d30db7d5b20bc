//! The program: parses the command line and runs the operator, prints the CRD, or runs one token exchange manually.

use std::alloc::System;
use std::process::ExitCode;

use apicredential::api;
use apicredential_operator::cli::{Args, Command};
use apicredential_operator::{exchange_cli, runtime};
use clap::Parser as _;
use zeroizing_alloc::ZeroAlloc;

/// Zeroes freed memory: libraries copy secrets into buffers that nothing else would zero.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    // First of all, because both TLS clients use the process-wide crypto provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return runtime::report_startup_error("the TLS crypto provider was installed twice; report this as a bug");
    }
    match Args::parse().command {
        Command::Crd => print_crd(),
        Command::Exchange(flags) => exchange_cli::exchange(flags),
        Command::Run(flags) => match flags.check() {
            Ok(settings) => runtime::run(settings),
            Err(error) => runtime::report_startup_error(error),
        },
    }
}

fn print_crd() -> ExitCode {
    use std::io::Write as _;
    match std::io::stdout().write_all(api::crd_yaml().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}
