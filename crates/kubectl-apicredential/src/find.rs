//! Finds the ApiCredential that the command line names.

use apicredential::api::ApiCredential;
use kube::ResourceExt as _;
use kube::api::ListParams;

use crate::connection::{Connection, Lookup, Scope};
use crate::error::{Exit, PluginError, similar};
use crate::output::sanitize;

/// Reads the ApiCredential of that name in the namespace of the connection.
pub async fn by_name(connection: &Connection, name: &str) -> Result<ApiCredential, PluginError> {
    let api = connection.api::<ApiCredential>(&connection.scope(false));
    match connection.request_optional(api.get(name)).await? {
        Lookup::Found(credential) => Ok(credential),
        Lookup::NotFound => Err(not_found_error(connection, name).await),
        // Repeated for the error message of the API server.
        Lookup::Forbidden => connection.request(api.get(name)).await,
    }
}

/// Suggests similar names, or the namespace that has an ApiCredential of that name.
async fn not_found_error(connection: &Connection, name: &str) -> PluginError {
    let namespace = &connection.namespace;
    let listed = async |scope: &Scope| {
        let listing = connection.api::<ApiCredential>(scope);
        connection.request(listing.list(&ListParams::default())).await.map(|list| list.items)
    };
    let here = match listed(&connection.scope(false)).await {
        Ok(here) => here,
        Err(error) if error.is_not_installed() => return error,
        Err(_) => Vec::new(),
    };
    let names: Vec<String> = here.iter().map(ApiCredential::name_any).collect();
    let similar = similar(name, names.iter().map(String::as_str));
    // Most users may not list all namespaces. The message then covers this namespace only.
    let elsewhere = listed(&Scope::All).await.unwrap_or_default();
    let elsewhere: Vec<String> =
        elsewhere.into_iter().filter(|it| it.name_any() == name).filter_map(|it| it.namespace()).collect();
    let hint = match (similar.as_slice(), elsewhere.as_slice()) {
        (_, [first, ..]) => format!("The namespace {first} has one: add -n {first}."),
        ([], []) => "List the existing ones with: kubectl apicredential list".to_owned(),
        (similar, []) => format!("Did you mean {}?", similar.join(" or ")),
    };
    let hint = sanitize(&hint);
    PluginError::new(Exit::NotFound, format!("The namespace {namespace} has no ApiCredential {name}. {hint}"))
}
