//! The state of the mock provider: clients, their logins and scripts, requests, tokens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apicredential::api::Provider;
use apicredential_operator::clock;
use jiff::{SignedDuration, Timestamp};

use super::script::Reply;

/// The vendor's public OAuth client, which is the same for all users.
pub const QONTAK_CLIENT_ID: &str = "RRrn6uIxalR_QaHFlcKOqbjHMG63elEdPTair9B9YdY";
pub const QONTAK_CLIENT_SECRET: &str = "Sa8IGIh_HpVK1ZLAF0iFf7jU760osaUNV659pBIZR00";

/// A request as the mock provider received it.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it was read in full.
    pub at: Timestamp,
    /// The Welkin tenant; empty for Qontak.
    pub tenant: String,
    /// The secret or password that was sent.
    pub secret: String,
    /// The headers that were sent, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The status of the response; `None` while it is in flight, or if it hung.
    pub status: Option<u16>,
    /// The token that was issued.
    pub token: Option<String>,
    /// The last byte of the response was sent, and the connection was still open then.
    pub whole: bool,
}

/// An issued token, in order of issue.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub issued: Timestamp,
    /// `None`: it never expires.
    pub expires: Option<Timestamp>,
    pub revoked: bool,
}

impl Token {
    pub fn is_valid(&self, now: Timestamp) -> bool {
        !self.revoked && self.expires.is_none_or(|expires| expires > now)
    }

    /// Seconds until it expires.
    pub fn remaining(&self, now: Timestamp) -> Option<f64> {
        self.expires.map(|expires| expires.duration_since(now).as_secs_f64())
    }
}

/// One client of one provider.
pub struct Account {
    /// The accepted Welkin secret or Qontak password; `None`: any.
    pub accepted: Option<String>,
    /// The accepted Qontak OAuth client.
    pub oauth_client: (String, String),
    /// The status of the provider's own response to a wrong login.
    pub refusal: u16,
    /// Whether a valid token is issued again instead of a new one (Doorkeeper's `reuse_access_token`).
    pub reuse: bool,
    pub usual: Reply,
    pub queue: VecDeque<Reply>,
    pub requests: Vec<Request>,
    pub tokens: Vec<Token>,
    /// The response to each use of its tokens, instead of the one that follows their state.
    pub check: Option<Reply>,
    /// When its tokens were used, each use with the status of its response; 0 while there is none.
    pub checks: Vec<(Timestamp, u16)>,
    pub in_flight: usize,
    pub max_in_flight: usize,
}

impl Account {
    fn new(provider: Provider) -> Self {
        Self {
            accepted: None,
            oauth_client: (QONTAK_CLIENT_ID.to_owned(), QONTAK_CLIENT_SECRET.to_owned()),
            refusal: match provider {
                Provider::Welkin => 401,
                Provider::Qontak => 400,
            },
            reuse: false,
            usual: Reply::token(),
            queue: VecDeque::new(),
            requests: Vec::new(),
            tokens: Vec::new(),
            check: None,
            checks: Vec::new(),
            in_flight: 0,
            max_in_flight: 0,
        }
    }

    /// Records a token that is issued now.
    pub fn issue(&mut self, text: &str, lifetime: Option<f64>, issued: Timestamp) {
        let lifetime = lifetime.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
        let expires = lifetime.and_then(|lifetime| issued.checked_add(lifetime).ok());
        self.tokens.push(Token { text: text.to_owned(), issued, expires, revoked: false });
    }
}

/// The key of an account: the provider, and the name of the Welkin client or of the Qontak user.
pub type Key = (Provider, String);

/// The whole state, behind one lock that is never held across an await.
#[derive(Clone, Default)]
pub struct ProviderState(Arc<Mutex<Inner>>);

#[derive(Default)]
pub struct Inner {
    pub accounts: BTreeMap<Key, Account>,
    /// Requests to unknown clients and to paths that no provider has.
    pub strangers: Vec<String>,
    /// Uses of tokens: the path, and whether the token was valid.
    pub uses: Vec<(String, bool)>,
    pub connections: usize,
    /// How far this provider's clock is ahead.
    pub ahead: SignedDuration,
}

impl Inner {
    /// The numbers of uses of valid tokens, and of others.
    pub fn token_uses(&self) -> (usize, usize) {
        let good = self.uses.iter().filter(|(_, good)| *good).count();
        (good, self.uses.len() - good)
    }
}

impl ProviderState {
    pub fn open(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by this provider's clock.
    pub fn now(&self) -> Timestamp {
        clock::now() + self.open().ahead
    }

    /// Opens an account, unless it is open.
    pub fn account(&self, key: &Key) {
        self.open().accounts.entry(key.clone()).or_insert_with(|| Account::new(key.0));
    }

    /// Runs `work` on an account that is open.
    pub fn with<T>(&self, key: &Key, work: impl FnOnce(&mut Account) -> T) -> T {
        let mut inner = self.open();
        work(inner.accounts.get_mut(key).expect("the account is open"))
    }

    /// The account that holds this token, and whether the token is valid.
    pub fn holder(&self, provider: Provider, text: &str) -> Option<(Key, bool)> {
        let now = self.now();
        let inner = self.open();
        let mut accounts = inner.accounts.iter().filter(|(key, _)| key.0 == provider);
        accounts.find_map(|(key, account)| {
            let token = account.tokens.iter().rfind(|token| token.text == text)?;
            Some((key.clone(), token.is_valid(now)))
        })
    }

    /// Records that a request has arrived. Dropping the returned value records that it has ended.
    pub fn arrive(&self, key: &Key, request: Request) -> InFlight {
        let number = self.with(key, |account| {
            account.in_flight += 1;
            account.max_in_flight = account.max_in_flight.max(account.in_flight);
            account.requests.push(request);
            account.requests.len() - 1
        });
        InFlight { state: self.clone(), key: key.clone(), number }
    }
}

/// A request between its arrival and the last byte of its response, or the end of its connection.
pub struct InFlight {
    state: ProviderState,
    key: Key,
    number: usize,
}

impl InFlight {
    /// Records the response.
    pub fn answered(&self, status: u16, token: Option<String>) {
        self.state.with(&self.key, |account| {
            let request = &mut account.requests[self.number];
            request.status = Some(status);
            request.token = token;
        });
    }

    /// Records that the response was sent completely.
    pub fn ended(&self) {
        self.state.with(&self.key, |account| account.requests[self.number].whole = true);
    }

    /// The number of requests before this one.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.with(&self.key, |account| account.in_flight -= 1);
    }
}
