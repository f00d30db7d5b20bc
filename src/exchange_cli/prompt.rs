//! Prompts on the terminal. A prompt goes to standard error, so that standard output has only the result.

use std::io::{self, Write as _};

use apicredential::source;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::failure::CommandError;

/// A terminal returns lines of at most 4096 bytes, including the line break, and silently drops the rest.
const LONGEST: usize = 4094;

/// Prompts for a value and shows what is typed. The message of an error begins with `what`.
pub(super) async fn name(what: &str, question: &str) -> Result<SecretString, CommandError> {
    prompt(what, question, true).await
}

/// Prompts for a value without showing what is typed.
pub(super) async fn secret(what: &str, question: &str) -> Result<SecretString, CommandError> {
    prompt(what, question, false).await
}

async fn prompt(what: &str, question: &str, shown: bool) -> Result<SecretString, CommandError> {
    let unusable = || CommandError::local("the terminal cannot be used; provide the login another way, see --help");
    let terminal = Terminal::lines(shown).map_err(|_| unusable())?;
    io::stderr().write_all(question.as_bytes()).map_err(|_| unusable())?;
    let line = tokio::task::spawn_blocking(read_line).await.map_err(|_| unusable())?.map_err(|_| unusable())?;
    drop(terminal);
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    if line.len() > LONGEST {
        return Err(CommandError::local(format!(
            "{what} is too long for a terminal; provide it in a file or through a pipe"
        )));
    }
    Ok(source::check_value(what, line)?)
}

/// Reads one line, without the buffer of standard input, which would keep a copy.
fn read_line() -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(vec![0; 2 * LONGEST]);
    loop {
        match rustix::io::read(io::stdin(), line.as_mut_slice()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(length) => {
                line.truncate(length);
                return Ok(line);
            }
        }
    }
}

/// A terminal whose modes are restored on drop.
struct Terminal(Termios);

impl Terminal {
    /// Sets line mode and discards what was typed before the prompt.
    fn lines(shown: bool) -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes |= LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL;
        modes.local_modes.set(LocalModes::ECHO, shown);
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(Self(before))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // This can only fail if the terminal is closed.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
