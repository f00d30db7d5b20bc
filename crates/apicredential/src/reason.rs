//! The table of reasons. One reason feeds the condition, the event, the log field and the metric label, and its class
//! decides how the operator retries.
//!
//! The table is closed within a release. Clients must treat it as open, because a later release may add reasons.
//!
//! The messages here name no object. A message with the name of a Secret, a key or a field is composed by the check that
//! reports it, in [`crate::source`], [`crate::target::ownership`] or [`crate::plan`].

use std::fmt;

/// The class of a reason, which decides when the operator retries. The delays are in [`crate::schedule::delay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Not a failure.
    Fine,
    /// The failure passes without a person: retried soon, with a doubling delay.
    Transient,
    /// The provider stated when to retry: all requests to its endpoint are throttled until then.
    Throttled,
    /// The provider sent a response that the operator cannot use: retried slowly, with a doubling delay.
    Unusable,
    /// The provider rejected this login or these names: five attempts, then one at a long interval.
    Rejected,
    /// The operator refused to send a request: retried on the next watch event, otherwise after a flat delay.
    Local,
}

macro_rules! reasons {
    ($($name:ident: $class:ident, $message:literal;)*) => {
        /// A machine-readable reason, as in conditions and events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $(#[doc = $message] $name,)* }

        impl Reason {
            /// All reasons of this release, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in conditions, events, logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The class, which decides when the operator retries.
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// The message where no parameter makes a more precise one: what is wrong, which field or object, what to
            /// do.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }

            /// The reason of that name; `None` for a name that this release does not know.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }
        }
    };
}

reasons! {
    // Token
    TokenValid: Fine, "The target Secret holds a token that is valid now.";
    RenewalFailing: Fine, "The token is still valid, but its renewal fails. The Renewed condition gives the reason and the fix.";
    Pending: Fine, "A token exchange is pending. The target Secret holds no usable token until it ends.";
    Issued: Fine, "The provider issued the token, and it was written to the target Secret.";
    Adopted: Fine, "The target Secret already held a token that fits the spec. It was adopted without a token exchange.";
    TokenExpired: Transient, "The token in the target Secret has expired. The Renewed condition gives the reason and the fix.";
    TokenNotExtended: Transient, "The provider issued a token that does not expire later than the stored one. The stored token stays in use, and the operator retries later.";
    Suspended: Fine, "The ApiCredential is suspended and has no usable token. Set spec.suspend to false to request one.";
    ExpiryUnknown: Fine, "The provider stated no expiry. The token counts as valid for spec.renewal.assumedLifetime.";
    TokenAccepted: Fine, "The provider accepted the token in the last check.";
    TokenRevoked: Unusable, "The provider refuses the token although it has not expired. It was probably revoked; the operator requests another one.";
    VerificationUnavailable: Fine, "The last check of the token gave no answer about it. The operator checks again after spec.verification.interval.";
    // Source Secret
    SourceResolved: Fine, "The source Secret exists, permits its use for this provider and has the keys.";
    SourceSecretNotFound: Local, "The source Secret does not exist. Create it in the namespace of the ApiCredential.";
    SourceKeyMissing: Local, "The source Secret lacks a key. Add the key, or name another one in `keys`.";
    SourceKeyEmpty: Local, "A key of the source Secret is empty. Write the value into it.";
    SourceNotPermitted: Local, "The source Secret does not permit its use for this provider. Its owner permits it with the label apicredential.io/source, and other keys than the default ones with the annotation apicredential.io/source-keys.";
    SourceNotUtf8: Local, "A key of the source Secret is not valid UTF-8. Write the value as text.";
    SourceHasWhitespace: Local, "A key of the source Secret begins or ends with an invisible character. Often this is a trailing newline, a no-break space or a byte order mark; write the value without it, for example with printf or kubectl create secret --from-literal.";
    SourceTooLarge: Local, "A key of the source Secret is larger than 4096 bytes. Write only the value of the login into it.";
    SourceTypeForbidden: Local, "The type of the source Secret is not permitted for a source Secret. Use type Opaque or kubernetes.io/basic-auth.";
    // Target Secret
    TargetNotFound: Local, "The target Secret does not exist. Create it first, because creationPolicy is Merge.";
    TargetNotOwned: Local, "The target Secret exists, but this ApiCredential did not create it. Choose another spec.target.name, or recreate the ApiCredential with creationPolicy Merge.";
    TargetNotPermitted: Local, "The target Secret does not permit this ApiCredential to write to it. Its owner permits it with the annotation apicredential.io/allow, which names the keys if there are others than token.";
    TargetOwnedByOther: Local, "Another ApiCredential writes this target Secret. Choose another spec.target.name.";
    TargetKeyTaken: Local, "The target Secret has a key token that the operator did not write. Name another key in spec.target, or permit this one with the annotation apicredential.io/allow.";
    TargetImmutable: Local, "The target Secret is immutable. Delete it, or choose another spec.target.name.";
    TargetTypeConflict: Local, "The target Secret has a type other than Opaque. Delete it, or choose another spec.target.name.";
    TargetWriteRejected: Transient, "The API server rejected the write of the target Secret. Check quotas and admission policies in the namespace; the operator retries.";
    TargetIsSource: Local, "The target Secret carries a source label or is a source Secret. Choose another spec.target.name.";
    MetadataNotAllowed: Fine, "Names in spec.target.metadata are not allowed and were left out. Remove them, or ask the operator's administrator to extend --allowed-target-metadata.";
    TargetTerminating: Local, "The target Secret is being deleted, or its ApiCredential no longer exists. The operator waits until the Secret is gone; if it stays, check its finalizers.";
    // Spec
    InvalidSpec: Local, "The spec is not valid. Apply it again; the API server then reports which field is wrong.";
    EndpointNotAllowed: Local, "The endpoint is not in the operator's allow-list for this provider. Correct spec.provider, or ask the operator's administrator to extend --allowed-endpoints.";
    // Provider
    CredentialsRejected: Rejected, "The provider rejected the login. Correct the credentials in the source Secret or the names in spec.provider.";
    ClientDisabled: Rejected, "The provider reports that this API client is disabled. Enable it in the provider's administration.";
    NotFoundAtProvider: Rejected, "The provider does not know this tenant or API client. Correct the names in spec.provider.";
    RateLimited: Throttled, "The provider limits the request rate. The operator sends no request to its endpoint until the backoff is over.";
    ProviderUnavailable: Transient, "The provider answered with a server error. The operator retries; if the error persists, check the provider's status page.";
    ProviderTimeout: Transient, "The provider did not answer in time. The operator retries; if the error persists, check the network path, or raise --provider-timeout.";
    ConnectionFailed: Transient, "The connection to the provider failed or was interrupted. The operator retries; if the error persists, check the endpoint and the proxy, firewall and NetworkPolicy in between.";
    DnsFailed: Transient, "The provider's host name could not be resolved. The operator retries; if the error persists, check the endpoint in spec.provider and the cluster's DNS. With --provider-proxy, check the proxy's host name.";
    TlsFailed: Unusable, "The provider's TLS certificate or handshake is not acceptable. For a private CA, set --provider-ca-file.";
    UnexpectedRedirect: Unusable, "The provider answered with a redirect, which the operator never follows. Correct the endpoint in spec.provider.";
    UnexpectedStatus: Rejected, "The provider answered with an HTTP status that it does not document. Check the endpoint and the names in spec.provider, and any proxy in between.";
    UnexpectedContentType: Unusable, "The provider's response is not declared as JSON. Check the endpoint, and whether a proxy in between answers instead.";
    UnexpectedEncoding: Unusable, "The provider's response is compressed, which was not requested. Check the endpoint and any proxy in between.";
    InvalidResponse: Unusable, "The provider's response does not have the documented shape. Check the endpoint and any proxy in between; if the provider has changed, report it.";
    ResponseTooLarge: Unusable, "The provider's response is larger than 64 KiB. Check the endpoint, and whether a proxy in between answers instead.";
    InvalidToken: Unusable, "The provider's response holds no well-formed Bearer token. Ask the provider; if the provider has changed, report it.";
    UnsupportedTokenType: Unusable, "The provider's response holds a token of a type other than Bearer. Ask the provider; if the provider has changed, report it.";
    TokenAlreadyExpired: Unusable, "The provider issued a token that has already expired. Compare the operator's clock with the provider's.";
    ImplausibleExpiry: Unusable, "The provider stated an expiry that cannot be right. Ask the provider; if the provider has changed, report it.";
    ResponseMismatch: Unusable, "The provider's response is for another API client than the requested one. Check clientName in spec.provider, and ask the provider.";
    // Cluster
    Forbidden: Local, "The API server forbids a request that the operator needs. Check the operator's ClusterRole and its bindings.";
    Unauthorized: Local, "The API server does not accept the operator's login. The operator reads its token again and retries; if the error persists, check the ServiceAccount of the operator and its token.";
    ApiUnavailable: Local, "The API server did not answer a request. The operator retries; if the error persists, check the operator's log.";
    UnexpectedPanic: Local, "A bug in the operator interrupted this reconcile. Report it together with the operator's log.";
}

impl Reason {
    /// The class whose delay applies after an attempt that ended with this reason. A write that failed after the token
    /// request is retried like a transient failure, although its reason has another class.
    pub const fn retry_class(self) -> Class {
        match self.class() {
            Class::Local | Class::Fine => Class::Transient,
            class => class,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason and its message: most often why something is refused, but conditions that are True and events are made of
/// them, too. The message is stable: it contains no counter, time, id or remote text, so that the same failure has the
/// same text each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The machine-readable reason.
    pub reason: Reason,
    /// What is wrong, which field or object, what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal of a spec that is not valid.
    pub fn invalid_spec(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidSpec, message)
    }

    /// A refusal with this message, or with the shorter one of the reason if long names make it exceed the note of an
    /// event, which has at most 1 KiB.
    pub fn limited_to_a_note(reason: Reason, message: String) -> Self {
        if message.len() <= 1024 { Self::new(reason, message) } else { reason.into() }
    }

    /// Creates a refusal with a message that names its parameters.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason, reason.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_of_a_message_has_fewer_than_80_characters() {
        for reason in Reason::ALL {
            let first = reason.message().split_inclusive(". ").next().unwrap().trim_end();
            assert!(first.len() < 80, "{reason}: {} characters: {first}", first.len());
        }
    }

    #[test]
    fn every_message_ends_with_a_full_stop_and_fits_into_an_event() {
        for reason in Reason::ALL {
            assert!(reason.message().ends_with('.'), "{reason}");
            assert!(reason.message().len() <= 1024, "{reason}");
        }
    }

    #[test]
    fn a_message_never_calls_the_resource_or_the_login_just_a_credential() {
        for reason in Reason::ALL {
            let words = reason.message().split(|character: char| !character.is_alphanumeric());
            assert!(words.into_iter().all(|word| word != "credential"), "{reason}: {}", reason.message());
        }
    }
}
