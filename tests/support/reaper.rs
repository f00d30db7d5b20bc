//! Kills the processes that a test process started, however that process ends.
//!
//! Destructors do not run after SIGKILL, and statics are never dropped. So one small shell, in a process group of its
//! own, reads commands from a pipe whose other end only this process holds. When the pipe closes, for whatever reason,
//! the shell kills every registered process and removes this process's scratch directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Signals are ignored because Ctrl-C must not end the shell before it has cleaned up. The directory is removed in
/// several tries because a process that was just killed may still be writing.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
pids=' '
while read -r command pid; do
  case "$command" in
    kill) pids="$pids$pid " ;;
    forget) case "$pids" in *" $pid "*) pids="${pids%%" $pid "*} ${pids#*" $pid "}" ;; esac ;;
  esac
done
for pid in $pids; do kill -9 "$pid"; done
for _ in 1 2 3 4 5 6 7 8 9; do rm -rf "$1" && exit; sleep 0.3; done
"#;

/// The directory for all files of this process. It is removed when the process ends.
pub fn directory() -> &'static Path {
    &reaper().directory
}

/// Registers `pid` to be killed when this process ends.
pub fn kill_at_end(pid: u32) {
    reaper().send("kill", pid);
}

/// Unregisters `pid`: it was waited for, and the pid may soon be reused.
pub fn forget(pid: u32) {
    reaper().send("forget", pid);
}

struct Reaper {
    directory: PathBuf,
    commands: Mutex<ChildStdin>,
}

fn reaper() -> &'static Reaper {
    static REAPER: OnceLock<Reaper> = OnceLock::new();
    REAPER.get_or_init(Reaper::start)
}

impl Reaper {
    fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("apicredential-operator-test.")
            .tempdir()
            .expect("a temporary directory can be made")
            .keep();
        #[expect(clippy::zombie_processes, reason = "it waits for our end, not we for its")]
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "reaper"])
            .arg(&directory)
            .current_dir("/")
            .stdin(Stdio::piped())
            // Inherited pipes would stay open for the reader of our output.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let commands = shell.stdin.take().expect("its stdin is piped");
        Self { directory, commands: Mutex::new(commands) }
    }

    fn send(&self, command: &str, pid: u32) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(commands, "{command} {pid}").expect("the reaper reads its commands");
    }
}
