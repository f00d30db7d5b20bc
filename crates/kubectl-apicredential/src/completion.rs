//! `completion`: shell completion scripts, and the completions that kubectl requests.
//!
//! kubectl runs a program `kubectl_complete-apicredential` to complete `kubectl apicredential …`. The protocol is that of
//! Cobra: one line for each candidate, with a tab before its description, then a line with a colon and a directive number.
//! `completion kubectl` prints that program: a shell script that calls the hidden command `__complete`.

use apicredential::api::ApiCredential;
use clap::Command;
use clap_complete::Shell;
use kube::ResourceExt as _;
use kube::api::ListParams;

use crate::connection::ConnectionFlags;
use crate::error::{Exit, PluginError};
use crate::output::{Terminal, sanitize};

/// Do not complete file names (`ShellCompDirectiveNoFileComp` of <https://github.com/spf13/cobra>).
const NO_FILES: &str = ":4\n";
/// The commands that take names of ApiCredentials.
const TAKE_NAMES: [&str; 2] = ["status", "renew"];

const FOR_KUBECTL: &str = "\
#!/bin/sh
# Save this file on the PATH as kubectl_complete-apicredential and make it executable: kubectl's completion runs it.
exec kubectl apicredential __complete -- \"$@\"
";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CompletionTarget {
    /// For kubectl-apicredential in bash
    Bash,
    /// For kubectl-apicredential in zsh
    Zsh,
    /// For kubectl-apicredential in fish
    Fish,
    /// For kubectl apicredential in every shell: save it on the PATH as kubectl_complete-apicredential
    Kubectl,
}

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The shell, or kubectl
    #[arg(value_enum)]
    shell: CompletionTarget,
}

/// The words of the command line so far. The last one is incomplete.
#[derive(Debug, clap::Args)]
pub struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub fn script(flags: &Flags, mut root: Command, terminal: &Terminal) -> Result<Exit, PluginError> {
    let shell = match flags.shell {
        CompletionTarget::Bash => Shell::Bash,
        CompletionTarget::Zsh => Shell::Zsh,
        CompletionTarget::Fish => Shell::Fish,
        CompletionTarget::Kubectl => {
            terminal.print(FOR_KUBECTL)?;
            return Ok(Exit::Done);
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut root, "kubectl-apicredential", &mut script);
    terminal.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

pub async fn complete(
    connect: &ConnectionFlags,
    words: &Words,
    root: &Command,
    terminal: &Terminal,
) -> Result<Exit, PluginError> {
    let (typed, before) = words.words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let command = before.iter().fold(root, |command, word| command.find_subcommand(word).unwrap_or(command));
    let mut candidates = subcommands_or_flags(root, command, typed);
    if TAKE_NAMES.contains(&command.get_name()) && !typed.starts_with('-') {
        candidates.extend(names(connect, before).await.into_iter().map(|name| (name, String::new())));
    }
    candidates.retain(|(candidate, _)| candidate.starts_with(typed));
    let lines = candidates.iter().map(|(candidate, about)| format!("{}\t{about}\n", sanitize(candidate)));
    terminal.print(&(lines.collect::<String>() + NO_FILES))?;
    Ok(Exit::Done)
}

fn subcommands_or_flags(root: &Command, command: &Command, typed: &str) -> Vec<(String, String)> {
    if typed.starts_with('-') {
        // The global flags belong to every command.
        let arguments = command.get_arguments().chain(root.get_arguments()).filter(|argument| !argument.is_hide_set());
        let flag = |argument: &clap::Arg| Some((format!("--{}", argument.get_long()?), text(argument.get_help())));
        let mut flags: Vec<_> = arguments.filter_map(flag).collect();
        flags.sort();
        flags.dedup_by(|a, b| a.0 == b.0);
        return flags;
    }
    let visible = command.get_subcommands().filter(|it| !it.is_hide_set());
    visible.map(|it| (it.get_name().to_owned(), text(it.get_about()))).collect()
}

fn text(about: Option<&clap::builder::StyledStr>) -> String {
    about.map(ToString::to_string).unwrap_or_default().replace('\n', " ")
}

/// The names of the ApiCredentials. Empty on any error, because a completion cannot show one.
async fn names(connect: &ConnectionFlags, before: &[String]) -> Vec<String> {
    let Ok(mut connection) = connect.open().await else { return Vec::new() };
    let flag = before.iter().position(|word| word == "-n" || word == "--namespace");
    if let Some(namespace) = flag.and_then(|at| before.get(at + 1)) {
        connection.namespace.clone_from(namespace);
    }
    let api = connection.api::<ApiCredential>(&connection.scope(false));
    let response = connection.request(api.list(&ListParams::default())).await;
    let names = response.map(|list| list.items.iter().map(ApiCredential::name_any).collect::<Vec<_>>());
    names.unwrap_or_default().into_iter().filter(|name| !before.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Args;

    #[test]
    fn commands_and_flags_are_completed_and_hidden_ones_are_not() {
        let root = Args::command();
        let names: Vec<String> = subcommands_or_flags(&root, &root, "").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["list", "status", "renew", "doctor", "create", "completion"]);
        let list = root.find_subcommand("list").unwrap();
        let flags: Vec<String> = subcommands_or_flags(&root, list, "-").into_iter().map(|(name, _)| name).collect();
        assert!(flags.contains(&"--not-ready".to_owned()) && flags.contains(&"--kubeconfig".to_owned()), "{flags:?}");
    }
}
