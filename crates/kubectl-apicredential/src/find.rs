//! Finding the credentials that a command line names.

use apicredential::api::ApiCredential;
use kube::ResourceExt as _;
use kube::api::ListParams;

use crate::connect::{Cluster, Scope, Seen};
use crate::failure::{Exit, Failure, similar};

/// The credential of that name, in the namespace to work in.
pub async fn named(cluster: &Cluster, name: &str) -> Result<ApiCredential, Failure> {
    let api = cluster.api::<ApiCredential>(&cluster.scope(false));
    match cluster.look(api.get(name)).await? {
        Seen::There(credential) => Ok(credential),
        Seen::Absent => Err(missing(cluster, name).await),
        // For the words of the API server.
        Seen::Hidden => cluster.ask(api.get(name)).await,
    }
}

/// Why there is none of that name: perhaps it is spelt otherwise, or is in another namespace.
async fn missing(cluster: &Cluster, name: &str) -> Failure {
    let place = &cluster.namespace;
    let listed = async |scope: &Scope| {
        let listing = cluster.api::<ApiCredential>(scope);
        cluster.ask(listing.list(&ListParams::default())).await.map(|list| list.items)
    };
    let here = match listed(&cluster.scope(false)).await {
        Ok(here) => here,
        Err(failure) if failure.is_not_installed() => return failure,
        Err(_) => Vec::new(),
    };
    let names: Vec<String> = here.iter().map(ApiCredential::name_any).collect();
    let near = similar(name, names.iter().map(String::as_str));
    // Most people may not look there; that is no reason to say less of what is here.
    let elsewhere = listed(&Scope::All).await.unwrap_or_default();
    let elsewhere: Vec<String> =
        elsewhere.into_iter().filter(|it| it.name_any() == name).filter_map(|it| it.namespace()).collect();
    let hint = match (near.as_slice(), elsewhere.as_slice()) {
        (_, [first, ..]) => format!("There is one in the namespace {first}: add -n {first}."),
        ([], []) => "kubectl apicredential list shows those that exist.".to_owned(),
        (near, []) => format!("Did you mean {}?", near.join(" or ")),
    };
    Failure::new(Exit::NotFound, format!("There is no ApiCredential {name} in the namespace {place}. {hint}"))
}
