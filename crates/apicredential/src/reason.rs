//! The closed table of reasons: one word that feeds the condition, the event, the log field and the metric label.
//!
//! Clients must treat the table as open: a later release may add to it.

use std::fmt;

/// How a failure is answered: wait for somebody, try again, or slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Not a failure.
    Fine,
    /// Passes by itself: soon again, doubling.
    Transient,
    /// The provider named a time: the whole endpoint pauses.
    Throttled,
    /// The provider answered, but with nothing usable: slowly again, doubling.
    Unusable,
    /// The provider refused these inputs: five tries, then once in a long while.
    Rejected,
    /// Refused here, before any request: a watch event, else a flat delay.
    Local,
}

macro_rules! reasons {
    ($($name:ident: $class:ident, $message:literal;)*) => {
        /// Why something is as it is. The name is what users, dashboards and `kubectl wait` see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $(#[doc = $message] $name,)* }

        impl Reason {
            /// Every reason of this release, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in conditions, events, logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What to do about it.
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// The sentence for people, where no parameter makes a better one.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }

            /// The reason of that name, if this release knows it.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }
        }
    };
}

reasons! {
    // Token.
    TokenValid: Fine, "The Secret holds a token that is valid now.";
    RenewalFailing: Fine, "The Secret holds a token that is still valid, but it could not be renewed; see the Renewed condition.";
    Pending: Fine, "The token has to be exchanged again; the exchange has not ended yet.";
    Issued: Fine, "The provider issued the token and it was written to the Secret.";
    Adopted: Fine, "The Secret already held a token that fits this credential; it was taken over without an exchange.";
    TokenExpired: Transient, "The token in the Secret has expired; see the Renewed condition for why it was not renewed.";
    TokenNotExtended: Transient, "The provider answered with a token that lives no longer than the stored one; the stored one was kept.";
    Suspended: Fine, "The credential is suspended and its Secret holds no usable token; set spec.suspend to false to exchange.";
    ExpiryUnknown: Fine, "The provider stated no expiry; spec.renewal.assumedLifetime is used.";
    TokenAccepted: Fine, "The provider took the token when it was last tried.";
    TokenRevoked: Unusable, "The provider refuses the token in the Secret although it has not expired, most likely because it was revoked; another one is asked for.";
    VerificationUnavailable: Fine, "The provider did not say whether it takes the token when it was last tried; that says nothing of the token.";
    // Source.
    SourceResolved: Fine, "The source Secret was found and permits its use for this provider.";
    SourceSecretNotFound: Local, "The source Secret does not exist; create it in the namespace of the credential.";
    SourceKeyMissing: Local, "The source Secret lacks a key; add it, or name another key in spec.provider.";
    SourceKeyEmpty: Local, "A key of the source Secret is empty; write the value into it.";
    SourceNotPermitted: Local, "The source Secret does not permit its use for this provider; its owner can, by the label apicredential.io/source.";
    SourceNotUtf8: Local, "A key of the source Secret is not valid UTF-8; write the value as text.";
    SourceHasWhitespace: Local, "A key of the source Secret begins or ends with whitespace, often a trailing newline; write it without, for example with printf or kubectl create secret --from-literal.";
    SourceTooLarge: Local, "A key of the source Secret is larger than 4096 bytes; it cannot be the credential itself.";
    SourceTypeForbidden: Local, "The source Secret has a type that is never used as a source; use type Opaque or kubernetes.io/basic-auth.";
    // Target.
    TargetNotFound: Local, "The target Secret does not exist; with creationPolicy Merge it must be created first.";
    TargetNotOwned: Local, "The target Secret exists and was not created by this credential; choose another spec.target.name, or recreate the credential with creationPolicy Merge.";
    TargetNotPermitted: Local, "The target Secret does not permit this credential to write to it; its owner can, by the annotation apicredential.io/allow.";
    TargetOwnedByOther: Local, "Another ApiCredential writes this target Secret; choose another spec.target.name.";
    TargetKeyTaken: Local, "The target Secret has a key of that name which is not ours; name another in spec.target, or let the annotation apicredential.io/allow name it.";
    TargetImmutable: Local, "The target Secret is immutable; delete it, or choose another spec.target.name.";
    TargetTypeConflict: Local, "The target Secret has a type other than Opaque; delete it, or choose another spec.target.name.";
    TargetWriteRejected: Transient, "The API server rejected the write of the target Secret, for example by quota or an admission policy; see the API server's events or try the write by hand.";
    TargetIsSource: Local, "The target Secret carries a source label or is a source; choose another spec.target.name.";
    TargetTerminating: Local, "The target Secret is being deleted, or belongs to a credential that is gone; it is awaited.";
    // Spec.
    InvalidSpec: Local, "The spec is not valid; apply it again so that the API server can say which field is wrong.";
    EndpointNotAllowed: Local, "The endpoint is not on the operator's list of allowed endpoints for this provider; correct spec.provider or ask the operator's administrator to extend --allowed-endpoints.";
    // Provider.
    CredentialsRejected: Rejected, "The provider rejected the credentials; correct the source Secret or the names in spec.provider.";
    ClientDisabled: Rejected, "The provider says that this API client is disabled; enable it in the provider's administration.";
    NotFoundAtProvider: Rejected, "The provider does not know this tenant or client; correct the names in spec.provider.";
    RateLimited: Throttled, "The provider asks to slow down; no request is sent to its endpoint until then.";
    ProviderUnavailable: Transient, "The provider answered with a server error; it is asked again, and its status page may say more.";
    ProviderTimeout: Transient, "The provider did not answer in time; it is asked again. If that stays so, check the way to it, or raise --provider-timeout.";
    ConnectionFailed: Transient, "The connection to the provider failed or was cut; it is asked again. If that stays so, check the endpoint, and the proxy, firewall and NetworkPolicy on the way to it.";
    DnsFailed: Transient, "The provider's host name could not be resolved; it is asked again. If that stays so, check the endpoint in spec.provider for a typo and the cluster's DNS; with --provider-proxy it is the proxy's name.";
    TlsFailed: Unusable, "The provider's TLS certificate or handshake was not acceptable; for a private authority see --provider-ca-file.";
    UnexpectedRedirect: Unusable, "The provider answered with a redirect, which is never followed; correct spec.provider's endpoint.";
    UnexpectedStatus: Rejected, "The provider answered with an HTTP status that the exchange does not define; check the endpoint and the names in spec.provider, and any proxy on the way.";
    UnexpectedContentType: Unusable, "The provider's answer is not declared as JSON; check the endpoint, and whether a proxy on the way answers in its place.";
    UnexpectedEncoding: Unusable, "The provider's answer is compressed, which was not asked for; check the endpoint, and any proxy on the way.";
    InvalidResponse: Unusable, "The provider's answer does not have the documented shape; check the endpoint and any proxy on the way, or report it if the provider has changed.";
    ResponseTooLarge: Unusable, "The provider's answer is larger than 64 KiB; check the endpoint, and whether a proxy on the way answers in its place.";
    InvalidToken: Unusable, "The provider's answer holds no well-formed Bearer token; ask the provider, or report it if the provider has changed.";
    UnsupportedTokenType: Unusable, "The provider's answer holds a token of a type other than Bearer; ask the provider, or report it if the provider has changed.";
    TokenAlreadyExpired: Unusable, "The provider issued a token that has already expired; compare the clocks.";
    ImplausibleExpiry: Unusable, "The provider stated an expiry that cannot be right; ask the provider, or report it if the provider has changed.";
    ResponseMismatch: Unusable, "The provider answered for another API client than the one asked for; check clientName in spec.provider, and ask the provider.";
    // Cluster.
    Forbidden: Local, "The API server forbids a request that is needed; check the operator's ClusterRole and bindings.";
    ApiUnavailable: Local, "The API server did not answer a request that is needed; it is asked again. If that stays so, look at the operator's log.";
    UnexpectedPanic: Local, "A bug in the operator interrupted this credential; please report it together with the operator's log.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason together with its sentence: stable text, without counters, times, ids or remote text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The word.
    pub reason: Reason,
    /// The sentence: what is wrong, which field, what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal whose sentence names its parameters.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason, reason.message())
    }
}
