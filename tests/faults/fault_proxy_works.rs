//! Tests of the fault proxy: what it forwards, what it records, and that each fault does what it says.

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::time::timeout;

use crate::support::fault_proxy::{Act, Call, ClientReply, Fault, FaultProxy, Log, Site, When};
use crate::support::space::{DEADLINE, Space};

#[tokio::test]
async fn a_forwarded_request_is_recorded_with_its_response() {
    let scene = Scene::new(&[]).await;
    let created = scene.create("a").await.unwrap();
    let call = scene.last();
    assert_eq!(call.kind(), ("create", "secrets", "a"));
    assert_eq!((call.status, call.reply, call.replica), (Some(201), ClientReply::FromServer, 0));
    assert_eq!(call.answer["metadata"]["uid"].as_str(), created.metadata.uid.as_deref());
    assert!(call.took_effect() && call.received <= call.forwarded.unwrap() && call.forwarded <= call.committed);
    scene.secrets.get_opt("none").await.unwrap();
    assert_eq!((scene.last().status, scene.last().is_write()), (Some(404), false));
}

#[tokio::test]
async fn a_request_whose_client_has_hung_up_is_not_forwarded() {
    let scene = Scene::new(&[("create", "a", 1, When::Before, Act::Hold)]).await;
    let arrived = async || (!scene.log.calls().is_empty()).then_some(());
    scene.given_up_once("it arrives", arrived).await;
    let noticed = async || scene.log.calls()[0].hung_up.then_some(());
    scene.space.wait_for("the fault proxy notices", noticed).await;
    // It could have been forwarded only after the end of the hold.
    scene.log.release();
    scene.create("b").await.unwrap();
    let first = scene.log.calls().into_iter().find(|call| call.name == "a").unwrap();
    assert_eq!((first.forwarded, first.reply), (None, ClientReply::None));
    assert_eq!(scene.space.secret("a").await, None);
}

#[tokio::test]
async fn a_reply_that_is_held_or_reset_does_not_undo_the_write() {
    for act in [Act::Hold, Act::Reset, Act::Truncated, Act::WrongShape, Act::Answer(504)] {
        let scene = Scene::new(&[("create", "a", 1, When::After, act)]).await;
        let held = act == Act::Hold;
        let done = async || (scene.log.calls().first()?.status == Some(201)).then_some(());
        if held {
            scene.given_up_once("it is done", done).await;
        } else {
            assert!(scene.create("a").await.is_err(), "{act:?}");
        }
        assert!(scene.space.secret("a").await.is_some(), "{act:?}");
        assert_eq!(scene.log.calls()[0].status, Some(201), "{act:?}");
        assert_ne!(scene.log.calls()[0].reply, ClientReply::FromServer, "{act:?}");
    }
}

#[tokio::test]
async fn a_request_that_gets_a_response_before_it_was_forwarded_changes_nothing() {
    for act in [Act::Reset, Act::Truncated, Act::WrongShape, Act::Answer(403), Act::Answer(409)] {
        let scene = Scene::new(&[("create", "a", 1, When::Before, act)]).await;
        assert!(scene.create("a").await.is_err(), "{act:?}");
        assert_eq!(scene.space.secret("a").await, None, "{act:?}");
        assert_eq!(scene.log.calls()[0].forwarded, None, "{act:?}");
    }
}

#[tokio::test]
async fn a_fault_occurs_once_at_the_nth_request_of_its_kind() {
    let scene = Scene::new(&[("create", "a", 2, When::Before, Act::Answer(503))]).await;
    scene.create("b").await.unwrap();
    scene.create("a").await.unwrap();
    assert!(scene.log.fired().is_empty());
    let refused = scene.create("a").await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 503));
    let exists = scene.create("a").await.unwrap_err();
    assert!(matches!(exists, kube::Error::Api(status) if status.code == 409));
    assert_eq!(scene.log.fired().len(), 1);
    let nths: Vec<usize> = scene.log.sites().into_iter().filter(|site| site.name == "a").map(|site| site.nth).collect();
    assert_eq!(nths, [1, 2, 3]);
}

#[tokio::test]
async fn watches_can_be_cut_and_silenced() {
    let scene = Scene::new(&[("create", "b", 1, When::Before, Act::Silence)]).await;
    let quiet = WatchParams::default().disable_bookmarks();
    let mut watch = scene.secrets.watch(&quiet, "0").await.unwrap().boxed();
    scene.create("a").await.unwrap();
    assert_eq!(name_in(watch.next().await).as_deref(), Some("a"));
    scene.create("b").await.unwrap();
    // The next item is the end, not b.
    assert_eq!(name_in(watch.next().await), None);
    let mut watch = scene.secrets.watch(&quiet, "0").await.unwrap().boxed();
    assert!(name_in(watch.next().await).is_some(), "a new one speaks");
    scene.log.cut_watches();
    let rest = timeout(DEADLINE, watch.collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "it goes on");
}

fn name_in(event: Option<kube::Result<WatchEvent<Secret>>>) -> Option<String> {
    match event {
        Some(Ok(WatchEvent::Added(secret))) => secret.metadata.name,
        _ => None,
    }
}

/// A namespace, and a client that reaches it through a fault proxy.
pub struct Scene {
    pub space: Space,
    pub log: Log,
    secrets: Api<Secret>,
    _proxy: FaultProxy,
}

impl Scene {
    pub async fn new(faults: &[(&str, &str, usize, When, Act)]) -> Self {
        let space = Space::new().await;
        let log = Log::new(|_, _| {});
        let proxy = FaultProxy::start(&space.plane, &log, 0);
        let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let fault = |&(verb, name, nth, when, act): &(&str, &str, usize, When, Act)| {
            let (verb, name) = (verb.to_owned(), name.to_owned());
            Fault { site: Site { verb, resource: "secrets".to_owned(), name, nth }, when, act }
        };
        log.arm(faults.iter().map(fault).collect());
        Self { secrets: Api::namespaced(client, &space.name), space, log, _proxy: proxy }
    }

    pub async fn create(&self, name: &str) -> kube::Result<Secret> {
        let secret = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        self.secrets.create(&PostParams::default(), &secret).await
    }

    /// A client creates the Secret `a`, and hangs up as soon as it exists, without a response.
    pub async fn given_up_once(&self, what: &str, so: impl AsyncFnMut() -> Option<()>) {
        tokio::select! {
            heard = self.create("a") => panic!("{what}: it was held, and answered {heard:?}"),
            () = self.space.wait_for(what, so) => {}
        }
    }

    fn last(&self) -> Call {
        self.log.calls().last().cloned().unwrap()
    }
}
