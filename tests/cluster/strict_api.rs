//! Requests as kubectl sends them: strictly validated, with the warnings.

use http::{Method, Request, StatusCode};
use kube::Client;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Resource};
use kube::client::Body;
use serde_json::Value;

/// The API server's response.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    /// The texts of the Warning headers.
    pub warnings: Vec<String>,
    /// The object, or the `Status` with the reason of the rejection.
    pub body: Value,
}

impl Response {
    /// The object. Panics with the response if there is none.
    pub fn accepted(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// The causes of the rejection, as pairs of field and message; empty if there is none.
    pub fn causes(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let causes = self.body["details"]["causes"].as_array().into_iter().flatten();
        causes.map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
    }
}

/// Creates an object under strict validation.
pub async fn create(client: &Client, manifest: &Value, namespace: &str) -> Response {
    let path = format!("{}?fieldValidation=Strict", collection(manifest, Some(namespace)));
    send(client, Method::POST, &path, &[JSON], Some(manifest)).await
}

/// Creates an object under strict validation, as a dry run.
pub async fn try_create(client: &Client, manifest: &Value, namespace: &str) -> Response {
    let path = format!("{}?fieldValidation=Strict&dryRun=All", collection(manifest, Some(namespace)));
    send(client, Method::POST, &path, &[JSON], Some(manifest)).await
}

/// Applies an object under strict validation, as `kubectl apply --server-side` does.
pub async fn apply(client: &Client, manifest: &Value, namespace: Option<&str>) -> Response {
    let name = manifest["metadata"]["name"].as_str().expect("a manifest has a name");
    let query = "fieldManager=kubectl&force=true&fieldValidation=Strict";
    let path = format!("{}/{name}?{query}", collection(manifest, namespace));
    send(client, Method::PATCH, &path, &[("content-type", "application/apply-patch+yaml")], Some(manifest)).await
}

/// A JSON merge patch under strict validation.
pub async fn patch(client: &Client, path: &str, patch: &Value) -> Response {
    let path = format!("{path}?fieldValidation=Strict");
    send(client, Method::PATCH, &path, &[("content-type", "application/merge-patch+json")], Some(patch)).await
}

/// The path of the collection of an object. Its own namespace takes precedence over the given one.
pub fn collection(manifest: &Value, namespace: Option<&str>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&manifest["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &text(&manifest["kind"])));
    let namespace = manifest["metadata"]["namespace"].as_str().or(namespace);
    DynamicObject::url_path(&resource, namespace)
}

/// The content type of an object.
pub const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a request with the given headers.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Response {
    let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = request.method(method).uri(path).body(Body::from(body.into_bytes())).expect("a valid request");
    let response = client.send(request).await.expect("the API server answers");
    let status = response.status();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap_or_default().to_owned()).collect();
    let bytes = response.into_body().collect_bytes().await.expect("the answer is complete");
    // The response is plain text for a kind that is not served yet.
    let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
    Response { status, warnings, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) }
}
