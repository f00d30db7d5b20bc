//! `create`: creates an ApiCredential, and its source Secret if the values are given in files. The flags of each provider
//! are in its module, `welkin` or `qontak`.

use apicredential::api::{ApiCredential, Provider};
use apicredential::plan::{AllowLists, Plan};
use apicredential::reason::Refusal;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::PostParams;
use serde_json::Value;

use crate::connection::{Connection, ConnectionFlags};
use crate::error::{Exit, PluginError};
use crate::output::{DocumentFormat, Terminal, document};
use qontak::Qontak;
use welkin::Welkin;

mod manifest;
mod qontak;
mod source;
mod welkin;

const MANAGER: &str = "kubectl-apicredential";

/// Create an ApiCredential, or print its manifest
#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(subcommand)]
    provider: Create,
}

#[derive(Debug, clap::Subcommand)]
enum Create {
    /// An ApiCredential for Welkin
    Welkin(Welkin),
    /// An ApiCredential for Qontak
    Qontak(Qontak),
}

impl Create {
    fn provider(&self) -> Provider {
        match self {
            Self::Welkin(_) => Provider::Welkin,
            Self::Qontak(_) => Provider::Qontak,
        }
    }

    fn common(&self) -> &Common {
        match self {
            Self::Welkin(welkin) => &welkin.common,
            Self::Qontak(qontak) => &qontak.common,
        }
    }

    /// The provider's block of the spec. Unset fields are null.
    fn block(&self) -> Value {
        match self {
            Self::Welkin(welkin) => welkin.block(),
            Self::Qontak(qontak) => qontak.block(),
        }
    }
}

/// The flags of every provider.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Name of the ApiCredential
    name: String,
    /// Name of the target Secret
    #[arg(long, value_name = "NAME")]
    target: String,
    /// Merge into an existing Secret that consents, instead of creating one
    #[arg(long)]
    merge: bool,
    /// Key of the token in the target Secret
    #[arg(long, value_name = "KEY")]
    token_key: Option<String>,
    /// Another key of the target Secret, such as authorization='Bearer {token}'; can be repeated
    #[arg(long, value_name = "KEY=TEMPLATE")]
    data: Vec<String>,
    /// Endpoint of the provider [default: the vendor's live service]
    #[arg(long, value_name = "ORIGIN")]
    endpoint: Option<String>,
    /// Renew this long before the token expires, such as 20m
    #[arg(long, value_name = "DURATION", conflicts_with = "renew_before_percentage")]
    renew_before: Option<String>,
    /// Renew when this percentage of the lifetime remains
    #[arg(long, value_name = "PERCENT")]
    renew_before_percentage: Option<i32>,
    /// Renew at this age at the latest, such as 24h
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// Also create the source Secret, with the label of consent. The value of the key comes from a file, or from standard input
    /// with "-", without one line break at its end. For Welkin the key can be omitted. Can be repeated
    #[arg(long, value_name = "[KEY=]PATH")]
    secret_file: Vec<String>,
    /// Print the manifest instead of creating anything. The values of the source Secret are not printed
    #[arg(long)]
    dry_run: bool,
    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value = "yaml")]
    output: DocumentFormat,
}

pub async fn run(connect: &ConnectionFlags, flags: &Flags, terminal: &Terminal) -> Result<Exit, PluginError> {
    let (provider, common) = (flags.provider.provider(), flags.provider.common());
    // A dry run needs no cluster. Without --namespace, its manifest has no namespace.
    let cluster = if common.dry_run { None } else { Some(connect.open().await?) };
    let namespace = cluster.as_ref().map(|it| it.namespace.as_str()).or(connect.namespace());
    let manifest = manifest::manifest(provider, &flags.provider.block(), common, namespace)?;
    let credential = manifest::parse(&manifest)?;
    let plan = Plan::parse(&credential.spec, &AllowLists::default()).map_err(|refusal| refuse(&refusal))?;
    let secret =
        (!common.secret_file.is_empty()).then(|| source::read(&common.secret_file, &plan, namespace)).transpose()?;
    if let Some(secret) = &secret {
        let place = namespace.unwrap_or("default");
        apicredential::source::resolve(place, &plan, Some(secret)).map_err(|refusal| refuse(&refusal))?;
    }
    match cluster {
        None => print(common, &manifest, secret.as_ref(), terminal)?,
        Some(cluster) => create(&cluster, &credential, secret.as_ref(), terminal).await?,
    }
    Ok(Exit::Done)
}

/// The operator's message for an invalid spec or source Secret, before anything is created.
fn refuse(refusal: &Refusal) -> PluginError {
    PluginError::new(Exit::Usage, refusal.message.clone())
}

fn print(common: &Common, manifest: &Value, secret: Option<&Secret>, terminal: &Terminal) -> Result<(), PluginError> {
    if let Some(secret) = secret {
        let keys: Vec<&str> = secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
        let name = secret.name_any();
        terminal.note(&format!(
            "Without --dry-run the Secret {name} would be created, too, with the keys {}; its values are not printed.",
            keys.join(", ")
        ));
    }
    terminal.print(&document(common.output, manifest)?)
}

async fn create(
    cluster: &Connection,
    credential: &ApiCredential,
    secret: Option<&Secret>,
    terminal: &Terminal,
) -> Result<(), PluginError> {
    let place = &cluster.namespace;
    let parameters = |dry_run| PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
    let credentials = cluster.namespaced::<ApiCredential>(place);
    if let Some(secret) = secret {
        // A dry run first: if the API server rejects the ApiCredential, no Secret is created.
        cluster.request(credentials.create(&parameters(true), credential)).await?;
        cluster.request(cluster.namespaced::<Secret>(place).create(&parameters(false), secret)).await?;
        terminal.print(&format!("secret/{} created in the namespace {place}\n", secret.name_any()))?;
    }
    cluster.request(credentials.create(&parameters(false), credential)).await?;
    let name = credential.name_any();
    terminal.print(&format!("apicredential.apicredential.io/{name} created in the namespace {place}\n"))?;
    terminal.note(&format!("See how it goes with: kubectl apicredential status {name} -n {place}"));
    Ok(())
}
