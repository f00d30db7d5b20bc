//! `list`: one row for each ApiCredential.

use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential_operator::clock;
use apicredential_operator::flags::parse_duration;
use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;

use crate::colour::Colour;
use crate::connection::{Connection, Scope};
use crate::durations;
use crate::error::{Exit, PluginError};
use crate::list_row::ListRow;
use crate::output::{DocumentFormat, ListFormat, Terminal, sanitize};
use crate::table::{Cell, table};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// List ApiCredentials of all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Only ApiCredentials with these labels
    #[arg(long, short = 'l', value_name = "LABELS")]
    selector: Option<String>,
    /// Only ApiCredentials whose token has expired or expires within this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expiring: Option<Duration>,
    /// Only ApiCredentials that are not Ready
    #[arg(long)]
    not_ready: bool,
    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<ListFormat>,
}

pub async fn run(connection: &Connection, flags: &Flags, terminal: &Terminal) -> Result<Exit, PluginError> {
    let scope = connection.scope(flags.all_namespaces);
    let mut parameters = ListParams::default();
    parameters.label_selector.clone_from(&flags.selector);
    let credentials = connection.request(connection.api::<ApiCredential>(&scope).list(&parameters)).await?;
    let now = clock::now();
    let mut rows: Vec<ListRow> = credentials.items.iter().map(ListRow::new).collect();
    let found = rows.len();
    rows.retain(|row| flags.selects(row, now));
    match flags.output {
        Some(ListFormat::Json) => terminal.document(DocumentFormat::Json, &rows)?,
        Some(ListFormat::Yaml) => terminal.document(DocumentFormat::Yaml, &rows)?,
        _ if rows.is_empty() => terminal.note(&no_rows_message(&scope, found)),
        format => terminal.print(&render_table(&rows, format == Some(ListFormat::Wide), now, terminal))?,
    }
    Ok(Exit::Done)
}

impl Flags {
    fn selects(&self, row: &ListRow, now: Timestamp) -> bool {
        let expiring = self.expiring.is_none_or(|within| {
            let end = SignedDuration::try_from(within).ok().and_then(|within| now.checked_add(within).ok());
            row.expiration_time.is_some_and(|time| end.is_none_or(|end| time <= end))
        });
        expiring && !(self.not_ready && row.ready == "True")
    }
}

fn no_rows_message(scope: &Scope, found: usize) -> String {
    match (found, scope) {
        (0, Scope::All) => "No namespace has an ApiCredential.".to_owned(),
        (0, Scope::Namespace(name)) => {
            format!("The namespace {} has no ApiCredential; list all namespaces with -A.", sanitize(name))
        }
        (1, _) => "The one ApiCredential there does not match the filters.".to_owned(),
        _ => format!("None of the {found} ApiCredentials there match the filters."),
    }
}

fn render_table(rows: &[ListRow], wide: bool, now: Timestamp, terminal: &Terminal) -> String {
    let mut headings = vec!["NAMESPACE", "NAME", "PROVIDER", "SECRET", "READY", "REASON", "EXPIRES IN", "NEXT RENEWAL"];
    if wide {
        headings.extend(["FAILED", "LAST ATTEMPT", "MESSAGE"]);
    }
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let ready = terminal.colour(Colour::of_status(&row.ready, "True"));
            let mut cells: Vec<Cell> = vec![
                row.namespace.clone().into(),
                row.name.clone().into(),
                row.provider.into(),
                row.secret.clone().into(),
                Cell::coloured(row.ready.clone(), ready),
                row.reason.clone().unwrap_or_default().into(),
                row.expires_in(now).into(),
                row.next_renewal(now).into(),
            ];
            if wide {
                let last_attempt = row.last_attempt_time.map(|time| durations::relative(time, now));
                cells.extend([
                    row.failed_attempts.to_string().into(),
                    last_attempt.unwrap_or_default().into(),
                    row.message.clone().unwrap_or_default().into(),
                ]);
            }
            cells
        })
        .collect();
    table(&headings, &cells)
}
