//! Ends what a test process started, however that process ends.
//!
//! Destructors do not run after SIGKILL, and statics are never dropped. So one small shell, in a process group of
//! its own, reads orders from a pipe whose other end only this process holds; when the pipe closes, for whatever
//! reason, the shell kills every process it was told of and removes this process's scratch directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Signals are ignored because Ctrl-C must not end the shell before its work; the directory is removed in several
/// tries because a process that was just killed may still be writing.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
pids=' '
while read -r order pid; do
  case "$order" in
    kill) pids="$pids$pid " ;;
    spare) case "$pids" in *" $pid "*) pids="${pids%%" $pid "*} ${pids#*" $pid "}" ;; esac ;;
  esac
done
for pid in $pids; do kill -9 "$pid"; done
for _ in 1 2 3 4 5 6 7 8 9; do rm -rf "$1" && exit; sleep 0.3; done
"#;

/// The directory for everything this process writes; it goes when the process goes.
pub fn directory() -> &'static Path {
    &undertaker().directory
}

/// Orders that `pid` be killed at this process's end.
pub fn kill_at_end(pid: u32) {
    undertaker().order("kill", pid);
}

/// Withdraws the order: `pid` was waited for, and the number may belong to somebody else soon.
pub fn spare(pid: u32) {
    undertaker().order("spare", pid);
}

struct Undertaker {
    directory: PathBuf,
    orders: Mutex<ChildStdin>,
}

fn undertaker() -> &'static Undertaker {
    static UNDERTAKER: OnceLock<Undertaker> = OnceLock::new();
    UNDERTAKER.get_or_init(Undertaker::start)
}

impl Undertaker {
    fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("apicredential-operator-test.")
            .tempdir()
            .expect("a temporary directory can be made")
            .keep();
        #[expect(clippy::zombie_processes, reason = "it waits for our end, not we for its")]
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "undertaker"])
            .arg(&directory)
            .current_dir("/")
            .stdin(Stdio::piped())
            // Inherited ones would keep the pipes of whoever reads our output open.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let orders = shell.stdin.take().expect("its stdin is piped");
        Self { directory, orders: Mutex::new(orders) }
    }

    fn order(&self, order: &str, pid: u32) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(orders, "{order} {pid}").expect("the undertaker reads its orders");
    }
}
