//! CheckResult the credentials that a command line names.

use apicredential::api::ApiCredential;
use kube::ResourceExt as _;
use kube::api::ListParams;

use crate::connection::{Connection, Lookup, Scope};
use crate::error::{Exit, PluginError, similar};

/// The credential of that name, in the namespace to work in.
pub async fn by_name(connection: &Connection, name: &str) -> Result<ApiCredential, PluginError> {
    let api = connection.api::<ApiCredential>(&connection.scope(false));
    match connection.request_optional(api.get(name)).await? {
        Lookup::Found(credential) => Ok(credential),
        Lookup::NotFound => Err(not_found_error(connection, name).await),
        // For the words of the API server.
        Lookup::Forbidden => connection.request(api.get(name)).await,
    }
}

/// Why there is none of that name: perhaps it is spelt otherwise, or is in another namespace.
async fn not_found_error(connection: &Connection, name: &str) -> PluginError {
    let place = &connection.namespace;
    let listed = async |scope: &Scope| {
        let listing = connection.api::<ApiCredential>(scope);
        connection.request(listing.list(&ListParams::default())).await.map(|list| list.items)
    };
    let here = match listed(&connection.scope(false)).await {
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
    PluginError::new(Exit::NotFound, format!("There is no ApiCredential {name} in the namespace {place}. {hint}"))
}
