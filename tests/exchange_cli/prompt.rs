//! The prompt, at a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::provider::MockProvider;
use crate::transcript::{command, flags};

const SECRET: &str = "+}B{KGTG6#zG%P;tQm0C";
const PATIENCE: Duration = Duration::from_secs(60);

/// A program whose standard input and standard error are a terminal.
struct Session {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    stdout: Receiver<String>,
    /// Kept, so that the terminal outlives the program.
    terminal: OwnedFd,
}

impl Session {
    fn start(words: &[&str], mock_provider: &MockProvider) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let terminal: OwnedFd = File::options().read(true).write(true).open(name).unwrap().into();
        let mut command = command(words, &flags(mock_provider), &[]);
        command.stdin(terminal.try_clone().unwrap()).stderr(terminal.try_clone().unwrap()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let keyboard = File::from(keyboard);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut pipe = child.stdout.take().unwrap();
        let (sender, stdout) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).ok();
            sender.send(text).ok();
        });
        Self { child, keyboard, screen, seen: String::new(), stdout, terminal }
    }

    fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let more = self.screen.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.seen));
            self.seen += &String::from_utf8_lossy(&more);
        }
    }

    fn type_line(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// The exit code, standard output, and everything on the screen.
    fn end(mut self) -> (Option<i32>, String, String) {
        let stdout = self.stdout.recv_timeout(PATIENCE).expect("it ends");
        let status = self.child.wait().unwrap();
        // What was written before the end is available by now.
        while let Ok(more) = self.screen.try_recv() {
            self.seen += &String::from_utf8_lossy(&more);
        }
        (status.code(), stdout, self.seen)
    }
}

#[test]
fn the_secret_is_prompted_for_at_the_terminal_without_echo() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    client.accept(SECRET);
    let words = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP", "-o", "token"];
    let mut session = Session::start(&words, &mock_provider);
    session.wait_for("Secret of the API client VBOPNRYRWJIP: ");
    assert!(!session.echoes(), "the input would be echoed");
    session.type_line(SECRET);
    session.wait_for("\n");
    let terminal = session.terminal.try_clone().unwrap();
    let (code, stdout, screen) = session.end();
    assert_eq!((code, client.count()), (Some(0), 1), "{screen}");
    assert_eq!(stdout, format!("{}\n", client.last_token().unwrap()), "the question is not in it");
    assert_eq!(screen, "Secret of the API client VBOPNRYRWJIP: \r\n");
    assert!(tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO), "as it was before");
}

#[test]
fn a_login_is_prompted_for_with_the_name_echoed_and_the_password_not() {
    let mock_provider = MockProvider::start();
    let user = mock_provider.qontak("somebody@example.com");
    user.accept("a password of a test");
    let mut session = Session::start(&["exchange", "qontak", "-o", "header"], &mock_provider);
    session.wait_for("Qontak user name: ");
    assert!(session.echoes());
    session.type_line("somebody@example.com");
    session.wait_for("Password: ");
    assert!(!session.echoes());
    session.type_line("a password of a test");
    let (code, stdout, screen) = session.end();
    assert_eq!((code, user.count()), (Some(0), 1), "{screen}");
    assert_eq!(stdout, format!("Authorization: Bearer {}\n", user.last_token().unwrap()));
    assert!(screen.contains("somebody@example.com") && !screen.contains("a password of a test"), "{screen}");
}

#[test]
fn an_interrupted_prompt_restores_the_echo_and_sends_nothing() {
    let mock_provider = MockProvider::start();
    mock_provider.welkin("VBOPNRYRWJIP");
    let words = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP"];
    let mut session = Session::start(&words, &mock_provider);
    session.wait_for("Secret of the API client");
    assert!(!session.echoes());
    let pid = i32::try_from(session.child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let terminal = session.terminal.try_clone().unwrap();
    let (code, stdout, screen) = session.end();
    assert_eq!((code, stdout.as_str(), mock_provider.total()), (Some(130), "", 0), "{screen}");
    assert!(tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO));
}

#[test]
fn an_invalid_input_is_rejected_and_input_that_would_be_echoed_is_not_read() {
    let mock_provider = MockProvider::start();
    let words = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP"];
    let mut session = Session::start(&words, &mock_provider);
    session.wait_for("Secret of the API client");
    session.type_line("");
    session.wait_for("SourceKeyEmpty");
    assert_eq!(session.end().0, Some(7));
    // A terminal would silently truncate it.
    let mut session = Session::start(&words, &mock_provider);
    session.wait_for("Secret of the API client");
    session.type_line(&"x".repeat(5000));
    session.wait_for("too long for a terminal");
    assert_eq!(session.end().0, Some(7));
    let mut session = Session::start(&[&words[..], &["--secret-stdin"]].concat(), &mock_provider);
    session.wait_for("omit --secret-stdin for a prompt");
    assert_eq!(session.end().0, Some(2));
    assert_eq!(mock_provider.total(), 0);
}
