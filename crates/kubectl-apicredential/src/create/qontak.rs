//! The flags of `create qontak`.

use serde_json::{Value, json};

use super::Common;
use super::manifest::without_nulls;

#[derive(Debug, clap::Args)]
pub struct Qontak {
    /// Source Secret with the login
    #[arg(long, value_name = "NAME")]
    secret_ref: String,
    /// Key of the user name in the source Secret [default: username]
    #[arg(long, value_name = "KEY")]
    username_key: Option<String>,
    /// Key of the password in the source Secret [default: password]
    #[arg(long, value_name = "KEY")]
    password_key: Option<String>,
    /// Key of your own OAuth client's id in the source Secret [default: none, the client that Qontak publishes]
    #[arg(long, value_name = "KEY", requires = "client_secret_key")]
    client_id_key: Option<String>,
    /// Key of your own OAuth client's secret in the source Secret [default: none, the client that Qontak publishes]
    #[arg(long, value_name = "KEY", requires = "client_id_key")]
    client_secret_key: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

impl Qontak {
    /// The block `spec.provider.qontak`. Unset fields are null.
    pub fn block(&self) -> Value {
        let keys = without_nulls(&json!({
            "username": self.username_key,
            "password": self.password_key,
            "clientId": self.client_id_key,
            "clientSecret": self.client_secret_key,
        }));
        json!({
            "secretRef": {"name": self.secret_ref},
            "keys": (keys != json!({})).then_some(keys),
            "endpoint": self.common.endpoint,
        })
    }
}
