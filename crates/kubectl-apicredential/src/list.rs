//! `list`: where each credential stands, in one line.

use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential_operator::clock;
use apicredential_operator::flags::parse_duration;
use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;

use crate::colour::Colour;
use crate::connect::{Cluster, Scope};
use crate::failure::{Exit, Failure};
use crate::output::{Format, Machine, Terminal, plain};
use crate::span;
use crate::table::{Cell, table};
use crate::view::Line;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Credentials of all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Only those with these labels
    #[arg(long, short = 'l', value_name = "LABELS")]
    selector: Option<String>,
    /// Only those whose token expires within this time, or has expired
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expiring: Option<Duration>,
    /// Only those that are not Ready
    #[arg(long)]
    not_ready: bool,
    /// Shape of the result
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

pub async fn run(cluster: &Cluster, flags: &Flags, terminal: &Terminal) -> Result<Exit, Failure> {
    let scope = cluster.scope(flags.all_namespaces);
    let mut parameters = ListParams::default();
    parameters.label_selector.clone_from(&flags.selector);
    let credentials = cluster.ask(cluster.api::<ApiCredential>(&scope).list(&parameters)).await?;
    let now = clock::now();
    let mut lines: Vec<Line> = credentials.items.iter().map(Line::of).collect();
    let found = lines.len();
    lines.retain(|line| flags.wants(line, now));
    match flags.output {
        Some(Format::Json) => terminal.document(Machine::Json, &lines)?,
        Some(Format::Yaml) => terminal.document(Machine::Yaml, &lines)?,
        _ if lines.is_empty() => terminal.note(&nothing(&scope, found)),
        shape => terminal.print(&people(&lines, shape == Some(Format::Wide), now, terminal))?,
    }
    Ok(Exit::Done)
}

impl Flags {
    fn wants(&self, line: &Line, now: Timestamp) -> bool {
        let expiring = self.expiring.is_none_or(|within| {
            let end = SignedDuration::try_from(within).ok().and_then(|within| now.checked_add(within).ok());
            line.expiration_time.is_some_and(|time| end.is_none_or(|end| time <= end))
        });
        expiring && !(self.not_ready && line.ready == "True")
    }
}

fn nothing(scope: &Scope, found: usize) -> String {
    let place = match scope {
        Scope::All => "in any namespace".to_owned(),
        Scope::Namespace(name) => format!("in the namespace {name}; look into all with -A"),
    };
    match found {
        0 => format!("There is no ApiCredential {place}."),
        1 => "The one ApiCredential there is not like that.".to_owned(),
        _ => format!("None of the {found} ApiCredentials there is like that."),
    }
}

fn people(lines: &[Line], wide: bool, now: Timestamp, terminal: &Terminal) -> String {
    let mut headings = vec!["NAMESPACE", "NAME", "PROVIDER", "SECRET", "READY", "REASON", "EXPIRES IN", "NEXT RENEWAL"];
    if wide {
        headings.extend(["FAILED", "LAST ATTEMPT", "MESSAGE"]);
    }
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            let ready = terminal.colour(Colour::of_status(&line.ready, "True"));
            let mut cells: Vec<Cell> = vec![
                line.namespace.clone().into(),
                line.name.clone().into(),
                line.provider.into(),
                line.secret.clone().into(),
                Cell::coloured(line.ready.clone(), ready),
                plain(line.reason.as_deref().unwrap_or_default()).into(),
                line.expires_in(now).into(),
                line.next_renewal(now).into(),
            ];
            if wide {
                let last = line.last_attempt_time.map(|time| span::relative(time, now));
                cells.extend([
                    line.failed_attempts.to_string().into(),
                    last.unwrap_or_default().into(),
                    plain(line.message.as_deref().unwrap_or_default()).into(),
                ]);
            }
            cells
        })
        .collect();
    table(&headings, &rows)
}
