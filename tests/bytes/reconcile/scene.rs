//! The input of a reconcile: an ApiCredential, its target, its source, and perhaps a rival. Either four lines of JSON,
//! or choices made by arbitrary bytes among usual, wrong, and arbitrary values.
//!
//! In both, `"@-600"` is the time ten minutes ago, `"!x"` in a Secret's data is a secret text that must not appear
//! anywhere, and a target of the form `{"minted": {…}, "edit": {…}}` is one that the operator wrote, edited since.

use apicredential::reason::Reason;
use arbitrary::{Result, Unstructured};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// An endpoint on which nothing listens, and the only one that is allowed.
pub const ENDPOINT: &str = "https://127.0.0.1:1";
/// Begins every secret text.
pub const SENTINEL: &str = "zQ9sentinel";

/// How the base64 of every secret text begins. Only whole groups of three bytes: the character after them also depends
/// on what follows the sentinel.
pub fn encoded_sentinel() -> String {
    BASE64_STANDARD.encode(&SENTINEL[..SENTINEL.len() / 3 * 3])
}

/// The input of a reconcile; null means that the object does not exist.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    pub credential: Value,
    pub target: Value,
    pub source: Value,
    pub rival: Value,
}

impl Scene {
    /// The scene that the bytes encode, if they encode one.
    pub fn read(input: &[u8], now: Timestamp) -> Option<Self> {
        let mut scene = if input.starts_with(b"{") { Self::parse(input)? } else { Self::choose(input).ok()? };
        let shown = format!("{scene:?}");
        if shown.contains(SENTINEL) || shown.contains(&encoded_sentinel()) {
            return None;
        }
        for object in [&mut scene.credential, &mut scene.target, &mut scene.source, &mut scene.rival] {
            resolve(object, now);
        }
        Some(scene)
    }

    fn parse(input: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(input).ok()?;
        let mut lines = text.lines().filter(|line| !line.is_empty()).map(serde_json::from_str::<Value>);
        let mut next = || lines.next().unwrap_or(Ok(Value::Null)).ok();
        Some(Self { credential: next()?, target: next()?, source: next()?, rival: next()? })
    }

    fn choose(input: &[u8]) -> Result<Self> {
        let mut dice = Dice(Unstructured::new(input));
        let credential = dice.credential()?;
        let target = dice.target()?;
        let source = dice.source()?;
        let rival =
            if dice.one_in(5)? { json!({"metadata": {"creationTimestamp": dice.time()?}}) } else { Value::Null };
        Ok(Self { credential, target, source, rival })
    }
}

/// Times relative to now become absolute.
fn resolve(value: &mut Value, now: Timestamp) {
    match value {
        Value::String(text) => {
            if let Some(seconds) = text.strip_prefix('@').and_then(|number| number.parse::<i32>().ok()) {
                let time = now.saturating_add(SignedDuration::from_secs(i64::from(seconds)));
                *text = time.expect("a duration without calendar units").to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, now)),
        Value::Object(fields) => fields.values_mut().for_each(|field| resolve(field, now)),
        _ => {}
    }
}

struct Dice<'a>(Unstructured<'a>);

impl Dice<'_> {
    fn one_in(&mut self, chances: u8) -> Result<bool> {
        // Without bytes left everything is usual.
        if self.0.is_empty() { Ok(false) } else { self.0.ratio(1, chances) }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Result<T> {
        self.0.choose(from).cloned()
    }

    /// One of these, rarely an arbitrary value.
    fn word(&mut self, usual: &[&str]) -> Result<String> {
        if self.one_in(16)? { self.0.arbitrary() } else { Ok(self.pick(usual)?.to_owned()) }
    }

    fn time(&mut self) -> Result<String> {
        let far = ["@-2000000000", "@-7200", "@-600", "@-31", "@-5", "@0", "@5", "@31", "@600", "@7200", "@2000000000"];
        self.word(&far)
    }

    fn maybe(&mut self, object: &mut Value, field: &str, make: impl FnOnce(&mut Self) -> Result<Value>) -> Result<()> {
        if self.one_in(2)? {
            object[field] = make(self)?;
        }
        Ok(())
    }

    fn map(&mut self, keys: &[&str], mut value: impl FnMut(&mut Self) -> Result<Value>) -> Result<Value> {
        let mut map = Map::new();
        for _ in 0..4 {
            if self.one_in(2)? {
                map.insert(self.word(keys)?, value(self)?);
            }
        }
        Ok(Value::Object(map))
    }

    fn credential(&mut self) -> Result<Value> {
        let mut spec = json!({"provider": self.provider()?, "target": self.wanted()?});
        if self.one_in(3)? {
            spec["renewal"] = self.renewal()?;
        }
        if self.one_in(6)? {
            spec["suspend"] = json!(true);
        }
        let mut credential = json!({"metadata": {"generation": self.pick(&[1, 3])?}, "spec": spec});
        if self.one_in(4)? {
            let text = self.word(&["now", "again", ""])?;
            credential["metadata"]["annotations"] = json!({"apicredential.io/renew-requested-at": text});
        }
        if self.one_in(24)? {
            credential["metadata"]["deletionTimestamp"] = json!(self.time()?);
        }
        if self.one_in(2)? {
            credential["status"] = self.status()?;
        }
        Ok(credential)
    }

    fn provider(&mut self) -> Result<Value> {
        let type_ = self.word(&["Welkin", "Welkin", "Qontak"])?;
        let mut provider = json!({"type": type_});
        let secret = json!({"name": self.word(&["source", "source", "source", "token", "", "a/b"])?});
        if (type_ == "Welkin") != self.one_in(16)? {
            provider["welkin"] = json!({
                "tenant": self.word(&["gh", "gh", "a/b"])?, "clientName": self.word(&["client", "other"])?,
                "secretRef": secret, "endpoint": self.word(&[ENDPOINT, ENDPOINT, "https://127.0.0.1", "http://a"])?,
            });
            self.maybe(&mut provider["welkin"], "keys", |dice| {
                Ok(json!({"secret": dice.word(&["secret", "token"])?}))
            })?;
        } else {
            provider["qontak"] = json!({"secretRef": secret, "endpoint": self.word(&[ENDPOINT, "https://127.0.0.1"])?});
            if self.one_in(4)? {
                provider["qontak"]["keys"] = self.map(&["username", "clientId", "clientSecret"], |dice| {
                    Ok(json!(dice.word(&["secret", "username"])?))
                })?;
            }
        }
        Ok(provider)
    }

    fn wanted(&mut self) -> Result<Value> {
        let mut target = json!({"name": self.word(&["token", "token", "token", "source", "T", "a/b"])?});
        if self.one_in(3)? {
            target["creationPolicy"] = json!("Merge");
        }
        if self.one_in(3)? {
            target["tokenKey"] = json!(self.word(&["token", "raw", "a,b", ""])?);
        }
        if self.one_in(2)? {
            let texts = ["Bearer {token}", "{expiresAt}", "{{{provider}", "{endpoint}/{tenant}", "{token}{token}", "{"];
            target["data"] = self.map(&["header", "expiry", "token", "a,b"], |dice| Ok(json!(dice.word(&texts)?)))?;
        }
        if self.one_in(4)? {
            let names = ["team", "app.kubernetes.io/name", "apicredential.io/managed", "a,b"];
            let labels = self.map(&names, |dice| Ok(json!(dice.word(&["care", ""])?)))?;
            target["metadata"] = json!({"labels": labels, "annotations": {"note": "x"}});
        }
        Ok(target)
    }

    fn renewal(&mut self) -> Result<Value> {
        let mut renewal = json!({});
        let durations = ["2m", "20m", "99999h", "5m", "1s", "1h1m1s"];
        for field in ["renewBefore", "maxAge", "assumedLifetime"] {
            if self.one_in(3)? {
                renewal[field] = json!(self.word(&durations)?);
            }
        }
        if self.one_in(4)? {
            renewal["renewBeforePercentage"] = json!(self.pick(&[10, 33, 50, 51, -1])?);
        }
        Ok(renewal)
    }

    fn status(&mut self) -> Result<Value> {
        let mut status = json!({"observedGeneration": self.pick(&[-1, 1, 3])?});
        let types = ["Ready", "Renewed", "SourceResolved", "Reconciling", "Stalled"];
        let mut conditions = Vec::new();
        for type_ in types {
            if self.one_in(2)? {
                conditions.push(json!({
                    "type": type_, "status": self.pick(&["True", "False"])?, "reason": self.reason()?, "message": "",
                    "lastTransitionTime": self.time()?,
                }));
            }
        }
        status["conditions"] = json!(conditions);
        let versions = [("of-source", "7"), ("of-target", "9"), ("", "")];
        self.maybe(&mut status, "token", |dice| {
            let mut token = json!({"issuedTime": dice.time()?, "type": "Bearer"});
            dice.maybe(&mut token, "expirationTime", |dice| Ok(json!(dice.time()?)))?;
            Ok(token)
        })?;
        self.maybe(&mut status, "renewalTime", |dice| Ok(json!(dice.time()?)))?;
        self.maybe(&mut status, "nextAttemptTime", |dice| Ok(json!(dice.time()?)))?;
        self.maybe(&mut status, "lastAttempt", |dice| {
            let (time, reason) = (dice.time()?, dice.reason()?);
            let (generation, (uid, version)) = (dice.pick(&[1, 3])?, dice.pick(&versions)?);
            let source = json!({"uid": uid, "resourceVersion": version});
            Ok(json!({"time": time, "reason": reason, "generation": generation, "source": source}))
        })?;
        self.maybe(&mut status, "failedAttempts", |dice| Ok(json!(dice.pick(&[0, 1, 5, i32::MAX])?)))?;
        self.maybe(&mut status, "revision", |dice| Ok(json!(dice.pick(&[0, 1, 41])?)))?;
        self.maybe(&mut status, "lastHandledRenewRequest", |dice| Ok(json!(dice.word(&["now", "again"])?)))?;
        self.maybe(&mut status, "target", |dice| {
            let (uid, version) = dice.pick(&versions)?;
            Ok(json!({"name": "token", "uid": uid, "resourceVersion": version}))
        })?;
        Ok(status)
    }

    fn reason(&mut self) -> Result<String> {
        if self.one_in(16)? { self.0.arbitrary() } else { Ok(self.pick(Reason::ALL)?.as_str().to_owned()) }
    }

    fn target(&mut self) -> Result<Value> {
        match self.0.int_in_range(0..=3)? {
            0 => Ok(Value::Null),
            1 => self.edit(),
            _ => {
                let mut record = json!({"issued": self.time()?, "owned": !self.one_in(4)?});
                if !self.one_in(6)? {
                    record["expires"] = json!(self.time()?);
                }
                self.maybe(&mut record, "request", |dice| Ok(json!(dice.word(&["now", "again"])?)))?;
                let edit = if self.one_in(2)? { self.edit()? } else { json!({}) };
                Ok(json!({"minted": record, "edit": edit}))
            }
        }
    }

    /// Parts of a Secret, as any client may write them.
    fn edit(&mut self) -> Result<Value> {
        let mut secret = json!({});
        self.maybe(&mut secret, "data", |dice| {
            dice.map(&["token", "header", "raw", "other"], |dice| Ok(json!(dice.word(&["!edited", "", "/w=="])?)))
        })?;
        let names = ["keys", "issued-at", "expires-at", "fingerprint", "owner", "allow", "labels", "annotations"];
        let names: Vec<String> = names.iter().map(|name| format!("apicredential.io/{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let texts =
            ["a", "a:token,header", "token,other", "apicredential.io/allow,x", "@-60", "@600", "never", "v1:a:b"];
        let annotations = self.map(&names, |dice| Ok(json!(dice.word(&texts)?)))?;
        let labels = self.map(&["apicredential.io/source", "apicredential.io/managed", "x"], |dice| {
            Ok(json!(dice.word(&["true", "welkin"])?))
        })?;
        secret["metadata"] = json!({"annotations": annotations, "labels": labels});
        if self.one_in(4)? {
            let reference = json!({
                "apiVersion": "apicredential.io/v1alpha1", "kind": self.pick(&["ApiCredential", "Pod"])?, "name": "a",
                "uid": self.pick(&["of-a", "of-rival", "of-nobody"])?, "controller": self.pick(&[true, false])?,
            });
            secret["metadata"]["ownerReferences"] = json!([reference]);
        }
        if self.one_in(8)? {
            secret["metadata"]["deletionTimestamp"] = json!(self.time()?);
        }
        if self.one_in(8)? {
            secret["immutable"] = json!(true);
        }
        if self.one_in(4)? {
            secret["type"] = json!(self.word(&["Opaque", "kubernetes.io/tls"])?);
        }
        Ok(secret)
    }

    fn source(&mut self) -> Result<Value> {
        if self.one_in(8)? {
            return Ok(Value::Null);
        }
        let label = self.word(&["welkin", "welkin", "qontak"])?;
        let values = ["!password", "!padded ", "", "AAo=", "/w=="];
        let mut data = json!({"secret": "!client", "username": "!user", "password": "!password"});
        if self.one_in(4)? {
            data = self.map(&["secret", "username", "password"], |dice| Ok(json!(dice.word(&values)?)))?;
        }
        let mut source = json!({"metadata": {"labels": {"apicredential.io/source": label}}, "data": data});
        if self.one_in(8)? {
            source["type"] = json!(self.word(&["kubernetes.io/basic-auth", "kubernetes.io/tls", "helm.sh/x"])?);
        }
        if self.one_in(3)? {
            let keys = self.word(&["secret,token", "secret,password", "username,password,secret", ""])?;
            source["metadata"]["annotations"] = json!({"apicredential.io/source-keys": keys});
        }
        Ok(source)
    }
}
