//! The operator's flags, parsed from the arguments and variables of its container by the operator's own parser.

use std::ffi::OsString;

use apicredential_operator::cli::{Args, Command, RunArgs};
use clap::{CommandFactory as _, FromArgMatches as _};

/// The default flags.
pub fn defaults() -> Option<RunArgs> {
    run_args(&["run".to_owned()], &[])
}

/// The flags that result from these arguments and variables. `None` if the operator rejects them.
pub fn run_args(arguments: &[String], variables: &[(String, String)]) -> Option<RunArgs> {
    // The variables of this process must not count: only those of the operator's container do.
    let without_variables =
        |run: clap::Command| run.mut_args(|argument| argument.env("KUBECTL_APICREDENTIAL_HAS_NO_SUCH_VARIABLE"));
    let command = Args::command().mut_subcommand("run", without_variables);
    let mut line: Vec<OsString> = vec!["apicredential-operator".into()];
    line.extend(arguments.iter().map(OsString::from));
    for (name, value) in variables {
        // A flag wins over its variable.
        if let Some(flag) = flag_of(name).filter(|flag| !is_given(flag, arguments)) {
            line.push(format!("{flag}={value}").into());
        }
    }
    let matches = command.try_get_matches_from(line).ok()?;
    match Args::from_arg_matches(&matches).ok()?.command {
        Command::Run(run) => Some(run),
        _ => None,
    }
}

/// `APICREDENTIAL_LEASE_NAME` → `--lease-name`.
fn flag_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("APICREDENTIAL_")?;
    Some(format!("--{}", name.to_lowercase().replace('_', "-")))
}

fn is_given(flag: &str, arguments: &[String]) -> bool {
    arguments.iter().any(|it| it.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_both_over_the_default() {
        let variables =
            [("APICREDENTIAL_LEASE_NAME", "by-variable"), ("APICREDENTIAL_PROVIDER_RATE", "3"), ("HOME", "/")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let run = run_args(&text(&["run", "--lease-name", "by-flag"]), &variables).unwrap();
        assert_eq!((run.lease_name.as_str(), run.provider_burst), ("by-flag", defaults().unwrap().provider_burst));
        assert!((run.provider_rate - 3.0).abs() < f64::EPSILON);
        assert!(run_args(&text(&["run", "--no-such-flag"]), &[]).is_none());
    }
}
