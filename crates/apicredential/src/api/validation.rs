//! What the API server rejects, and with which message: the bounds and the CEL rules of the CRD.
//!
//! They are two tables and not attributes of the types, so that all of them are in one place and a test can try each
//! row on a real API server. A regular expression is part of a CEL rule and not a `pattern`, because only a rule has a
//! message that explains what to write instead.

/// The size limit of one field. Every string, list and map has one: the API server estimates the cost of the rules with
/// them, and no field can fill etcd.
pub enum Bound {
    /// Minimum and maximum number of characters of a string.
    Text(i64, i64),
    /// Maximum number of entries of a map, and maximum number of characters of each value.
    Entries(i64, i64),
    /// Maximum number of items of a list.
    Items(i64),
    /// Minimum and maximum of a number.
    Range(i64, i64),
    /// Minimum of a number.
    AtLeast(i64),
}

/// The name of a Secret or of a key in it: Kubernetes permits 253 characters (DNS subdomain, config map key).
const NAME: Bound = Bound::Text(1, 253);
/// A duration has at most three parts of five digits and a unit.
const DURATION: Bound = Bound::Text(2, 18);
/// `https://`, a host of at most 253 characters and a port.
const ORIGIN: Bound = Bound::Text(9, 267);
/// A uid has 36 characters; the rest is room.
const UID: Bound = Bound::Text(0, 128);
/// A resourceVersion has at most 20 digits; the rest is room.
const RESOURCE_VERSION: Bound = Bound::Text(0, 128);
/// A reason. It is no enum, because later releases may add reasons.
const REASON: Bound = Bound::Text(0, 128);

/// The bound of each field, by its path. `*` is any value of a map or item of a list.
pub const BOUNDS: &[(&str, Bound)] = &[
    ("spec.provider.welkin.tenant", Bound::Text(1, 128)),
    ("spec.provider.welkin.clientName", Bound::Text(1, 128)),
    ("spec.provider.welkin.secretRef.name", NAME),
    ("spec.provider.welkin.keys.secret", NAME),
    ("spec.provider.welkin.endpoint", ORIGIN),
    ("spec.provider.qontak.secretRef.name", NAME),
    ("spec.provider.qontak.keys.username", NAME),
    ("spec.provider.qontak.keys.password", NAME),
    ("spec.provider.qontak.keys.clientId", NAME),
    ("spec.provider.qontak.keys.clientSecret", NAME),
    ("spec.provider.qontak.endpoint", ORIGIN),
    ("spec.target.name", NAME),
    ("spec.target.tokenKey", NAME),
    ("spec.target.data", Bound::Entries(16, 512)),
    ("spec.target.metadata.labels", Bound::Entries(32, 63)),
    ("spec.target.metadata.annotations", Bound::Entries(32, 4096)),
    ("spec.renewal.renewBefore", DURATION),
    ("spec.renewal.renewBeforePercentage", Bound::Range(10, 50)),
    ("spec.renewal.maxAge", DURATION),
    ("spec.renewal.assumedLifetime", DURATION),
    ("spec.verification.interval", DURATION),
    ("status.observedGeneration", Bound::AtLeast(-1)),
    ("status.conditions", Bound::Items(8)),
    ("status.conditions.*.type", Bound::Text(1, 316)),
    ("status.conditions.*.reason", Bound::Text(1, 128)),
    ("status.conditions.*.message", Bound::Text(0, 4096)),
    ("status.conditions.*.observedGeneration", Bound::AtLeast(0)),
    ("status.token.type", Bound::Text(0, 64)),
    ("status.token.lifetimeSeconds", Bound::AtLeast(0)),
    ("status.lastAttempt.reason", REASON),
    ("status.lastAttempt.generation", Bound::AtLeast(0)),
    ("status.lastAttempt.source.uid", UID),
    ("status.lastAttempt.source.resourceVersion", RESOURCE_VERSION),
    ("status.failedAttempts", Bound::AtLeast(0)),
    ("status.revision", Bound::AtLeast(0)),
    ("status.lastHandledRenewRequest", Bound::Text(0, 128)),
    ("status.target.name", Bound::Text(0, 253)),
    ("status.target.uid", UID),
    ("status.target.resourceVersion", RESOURCE_VERSION),
    ("status.verification.refusedTokens", Bound::AtLeast(0)),
];

/// A CEL rule. `self` is the value of `field`, `oldSelf` its value before an update.
pub struct Rule {
    /// The path, as in [`BOUNDS`]; the empty path is the object itself.
    pub field: &'static str,
    /// The expression that must be true.
    pub rule: &'static str,
    /// The message when it is false. The API server writes the path of the field in front of it.
    pub message: &'static str,
}

const fn rule(field: &'static str, rule: &'static str, message: &'static str) -> Rule {
    Rule { field, rule, message }
}

/// The rule for a duration with a minimum. Its message shows how to write a duration, too.
macro_rules! at_least {
    ($block:literal, $field:literal, $least:literal) => {
        rule(
            concat!("spec.", $block, ".", $field),
            concat!("self.matches('^([0-9]{1,5}(h|m|s)){1,3}$') && duration(self) >= duration('", $least, "')"),
            concat!($field, " must be a duration of at least ", $least, ", written like 90m, 24h or 1h30m"),
        )
    };
}

const SEGMENT: &str = "self.matches('^[A-Za-z0-9_-]{1,128}$')";
const SECRET_NAME: &str = "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
const SECRET_NAME_MESSAGE: &str = "must be a Secret's name: lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part";
const KEY: &str = "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')";
const KEY_MESSAGE: &str =
    "must be a key of a Secret: letters, digits, '-', '_' and '.', but not '.' alone and no '..' in front";
const ORIGIN_RULE: &str =
    "self.matches('^https://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?$')";
const ORIGIN_MESSAGE: &str = "endpoint must be an https origin such as https://api.example.com or https://api.example.com:8443, without path, user or query";
/// A name is reserved by the prefix before its slash, ignoring case, because `Kubernetes.io/x` looks like
/// `kubernetes.io/x`.
const UNRESERVED: &str = "self.all(k, !k.lowerAscii().matches('^([^/]*[.])?(kubernetes|k8s|apicredential|argoproj)[.]io/') \
     || k.matches('^app[.]kubernetes[.]io/(name|instance|component|part-of|version)$'))";
const UNRESERVED_MESSAGE: &str = "names under kubernetes.io, k8s.io, apicredential.io and argoproj.io are reserved, except app.kubernetes.io/name, instance, component, part-of and version";

/// All rules beyond type, size and enumeration.
pub const RULES: &[Rule] = &[
    rule(
        "",
        "self.metadata.name.size() <= 200",
        "metadata.name must have at most 200 characters, because its events are named after it",
    ),
    rule(
        "spec",
        "!has(self.provider.welkin) || self.provider.welkin.secretRef.name != self.target.name",
        "target.name must differ from provider.welkin.secretRef.name: a token is never written into its source Secret",
    ),
    rule(
        "spec",
        "!has(self.provider.qontak) || self.provider.qontak.secretRef.name != self.target.name",
        "target.name must differ from provider.qontak.secretRef.name: a token is never written into its source Secret",
    ),
    rule(
        "spec.provider",
        "(self.type == 'Welkin') == has(self.welkin)",
        "the block welkin must be set when type is Welkin, and only then",
    ),
    rule(
        "spec.provider",
        "(self.type == 'Qontak') == has(self.qontak)",
        "the block qontak must be set when type is Qontak, and only then",
    ),
    rule(
        "spec.provider.type",
        "self == oldSelf",
        "type is immutable: create another ApiCredential for another provider",
    ),
    rule(
        "spec.provider.welkin.tenant",
        SEGMENT,
        "tenant must be 1 to 128 letters, digits, '_' or '-', because it is one segment of a URL",
    ),
    rule(
        "spec.provider.welkin.clientName",
        SEGMENT,
        "clientName must be 1 to 128 letters, digits, '_' or '-', because it is one segment of a URL",
    ),
    rule("spec.provider.welkin.secretRef.name", SECRET_NAME, SECRET_NAME_MESSAGE),
    rule("spec.provider.welkin.keys.secret", KEY, KEY_MESSAGE),
    rule("spec.provider.welkin.endpoint", ORIGIN_RULE, ORIGIN_MESSAGE),
    rule("spec.provider.qontak.secretRef.name", SECRET_NAME, SECRET_NAME_MESSAGE),
    rule(
        "spec.provider.qontak.keys",
        "has(self.clientId) == has(self.clientSecret)",
        "clientId and clientSecret must be named together: name both, or neither to use the OAuth client that Qontak publishes",
    ),
    rule("spec.provider.qontak.keys.username", KEY, KEY_MESSAGE),
    rule("spec.provider.qontak.keys.password", KEY, KEY_MESSAGE),
    rule("spec.provider.qontak.keys.clientId", KEY, KEY_MESSAGE),
    rule("spec.provider.qontak.keys.clientSecret", KEY, KEY_MESSAGE),
    rule("spec.provider.qontak.endpoint", ORIGIN_RULE, ORIGIN_MESSAGE),
    rule(
        "spec",
        "self.provider.type == 'Welkin' || !has(self.target.data) || self.target.data.all(k, !self.target.data[k].replace('{{', '').matches('[{](tenant|clientName)[}]'))",
        "target.data may contain {tenant} and {clientName} only when provider.type is Welkin",
    ),
    rule("spec.target.name", SECRET_NAME, SECRET_NAME_MESSAGE),
    rule(
        "spec.target.name",
        "!self.startsWith('sh.helm.release.v1.')",
        "must not begin with sh.helm.release.v1., because Helm takes such a Secret for one of its releases",
    ),
    rule("spec.target.name", "self == oldSelf", "name is immutable: create another ApiCredential for another Secret"),
    rule(
        "spec.target.creationPolicy",
        "self == oldSelf",
        "creationPolicy is immutable: delete this ApiCredential and create it again",
    ),
    rule("spec.target.tokenKey", KEY, KEY_MESSAGE),
    rule(
        "spec.target",
        "!has(self.data) || !(self.tokenKey in self.data)",
        "data must not contain the key that tokenKey names, because the raw token is always written there",
    ),
    rule(
        "spec.target",
        "self.creationPolicy != 'Merge' || !has(self.metadata)",
        "metadata must be absent when creationPolicy is Merge: labels and annotations of a merged Secret belong to its owner",
    ),
    rule(
        "spec.target.data",
        "self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",
        "each name must be a key of a Secret: at most 253 letters, digits, '-', '_' and '.', but not '.' alone and no '..' in front",
    ),
    rule(
        "spec.target.data.*",
        "self.matches('^([^{]|[{][{]|[{](token|tokenType|expiresAt|issuedAt|provider|endpoint|tenant|clientName)[}])*$')",
        "the placeholders are {token}, {tokenType}, {expiresAt}, {issuedAt}, {provider} and {endpoint}, with Welkin also {tenant} and {clientName}; write {{ for a literal brace",
    ),
    rule(
        "spec.target.data.*",
        "self.replace('{{', '').split('{token}').size() <= 2",
        "{token} may occur at most once in a value",
    ),
    rule("spec.target.metadata.labels", UNRESERVED, UNRESERVED_MESSAGE),
    rule(
        "spec.target.metadata.labels",
        "self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        "each name must be a label name such as team or example.com/team: at most 63 letters, digits, '-', '_' and '.' after an optional DNS name and '/'",
    ),
    rule(
        "spec.target.metadata.labels.*",
        "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$')",
        "must be a label value: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    ),
    rule("spec.target.metadata.annotations", UNRESERVED, UNRESERVED_MESSAGE),
    rule(
        "spec.target.metadata.annotations",
        "self.all(k, k.indexOf('/') <= 253 && k.lowerAscii().matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$'))",
        "each name must be an annotation name such as team or example.com/team: at most 63 letters, digits, '-', '_' and '.' after an optional DNS name and '/'",
    ),
    rule(
        "spec.renewal",
        "!(has(self.renewBefore) && has(self.renewBeforePercentage))",
        "renewBefore and renewBeforePercentage exclude each other: remove one of them",
    ),
    at_least!("renewal", "renewBefore", "2m"),
    at_least!("renewal", "maxAge", "5m"),
    at_least!("renewal", "assumedLifetime", "5m"),
    rule(
        "spec",
        "!has(self.renewal) || !has(self.renewal.assumedLifetime) || self.provider.type != 'Qontak'",
        "renewal.assumedLifetime has no effect when provider.type is Qontak: a token for which Qontak states no expiry never expires; remove assumedLifetime",
    ),
    rule(
        "spec",
        "!has(self.verification) || self.provider.type == 'Qontak'",
        "verification is only possible when provider.type is Qontak: Welkin documents no request that checks a token; remove verification",
    ),
    at_least!("verification", "interval", "5m"),
];
