//! A child process that never outlives this one.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::reaper;

/// A running program; killed when dropped.
pub struct Process {
    name: String,
    pid: u32,
    child: Mutex<Child>,
}

impl Process {
    /// Starts `command` in a process group of its own, so that Ctrl-C does not interfere with the order of the
    /// teardown.
    pub fn start(name: &str, command: &mut Command) -> std::io::Result<Self> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let pid = child.id();
        reaper::kill_at_end(pid);
        Ok(Self { name: name.to_owned(), pid, child: Mutex::new(child) })
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The piped standard output and standard error. They can be taken once.
    pub fn take_output(&self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        let mut child = self.child();
        (child.stdout.take(), child.stderr.take())
    }

    /// Its exit status, if it has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child has a status")
    }

    /// Sends a signal. Does nothing once the process has ended, because the pid may be reused then.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if child.try_wait().expect("a child has a status").is_some() {
            return;
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a child has a pid");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Stops it (SIGSTOP); its connections stay open. Returns when all its threads are stopped.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        for _patience in 0..5000 {
            if self.is_stopped() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether each thread is stopped, or there is none any more.
    fn is_stopped(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else { return true };
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the name in parentheses.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
        })
    }

    /// Continues it (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Terminates it (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> ExitStatus {
        let mut child = self.child();
        // An error means that it has ended already.
        let _ended = child.kill();
        child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0))
    }

    /// Waits for its end, at most this long.
    pub async fn ended(&self, within: Duration) -> Option<ExitStatus> {
        let poll = async {
            loop {
                if let Some(status) = self.exit_status() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(within, poll).await.ok()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        reaper::forget(self.pid);
    }
}
