//! Runs the local control plane manually: `cargo run --example control-plane -- [--empty] [-- command …]`.

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
mod control_plane;
mod mode;
mod process;
mod random;
mod reaper;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use control_plane::{Content, ControlPlane};

/// Starts etcd, kube-apiserver and kube-controller-manager on loopback, and stops them when it ends.
///
/// Without a command it prints the kubeconfigs and runs until its standard input closes, or SIGINT or SIGTERM comes.
#[derive(Parser)]
#[command(name = "control-plane")]
struct Arguments {
    /// Do not install the CRD and the operator's permissions: they will be applied manually
    #[arg(long)]
    empty: bool,
    /// A command to run with KUBECONFIG set; its exit status is returned
    #[arg(last = true)]
    command: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let content = if arguments.empty { Content::Empty } else { Content::Installed };
    let plane = match ControlPlane::start(content).await {
        Ok(plane) => plane,
        Err(error) => {
            eprintln!("control-plane: {error}");
            return ExitCode::FAILURE;
        }
    };
    match arguments.command.split_first() {
        Some((program, rest)) => run(&plane, program, rest).await,
        None => stay(&plane).await,
    }
}

async fn run(plane: &ControlPlane, program: &str, arguments: &[String]) -> ExitCode {
    let mut child = match tokio::process::Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", plane.admin_kubeconfig())
        .env("OPERATOR_KUBECONFIG", plane.operator_kubeconfig())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => {
            eprintln!("control-plane: {program}: {error}");
            return ExitCode::from(127);
        }
    };
    // Ctrl-C reaches the command too; it decides when to end. SIGTERM reaches only this program.
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    loop {
        tokio::select! {
            status = child.wait() => {
                let code = status.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
                return code.map_or(ExitCode::FAILURE, ExitCode::from);
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
                if let Some(pid) = pid {
                    rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
                }
            }
        }
    }
}

async fn stay(plane: &ControlPlane) -> ExitCode {
    println!("export KUBECONFIG={}", plane.admin_kubeconfig().display());
    println!("export OPERATOR_KUBECONFIG={}", plane.operator_kubeconfig().display());
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let (close, closed) = tokio::sync::oneshot::channel();
    // A thread of its own, because a read from a terminal cannot be cancelled.
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        close.send(()).ok();
    });
    tokio::select! {
        _ = closed => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    ExitCode::SUCCESS
}
