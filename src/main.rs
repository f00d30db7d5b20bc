//! Start-up: flags, then the operator, the CRD or one exchange by hand.

use std::alloc::System;
use std::process::ExitCode;

use apicredential::api;
use apicredential_operator::cli::{Args, Command};
use apicredential_operator::{exchange_cli, runtime};
use clap::Parser as _;
use zeroizing_alloc::ZeroAlloc;

/// Zeroes what is freed: libraries copy secrets, too, into buffers that nobody else would wipe.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    // Before anything else: both TLS clients ask for the process-wide provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return runtime::refuse("a TLS provider was installed twice");
    }
    match Args::parse().command {
        Command::Crd => print_crd(),
        Command::Exchange(flags) => exchange_cli::exchange(flags),
        Command::Run(flags) => match flags.check() {
            Ok(settings) => runtime::run(settings),
            Err(error) => runtime::refuse(error),
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
