//! Runs every page on a real API server, with the operator and with the mock provider instead of the vendors.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use futures::StreamExt as _;
use tokio::sync::OnceCell;

use crate::kept::KeptKey;
use crate::page::{self, Kind, Page};
use crate::session::{self, EMPTY_CLUSTER, Session};
use crate::support::control_plane::{self, Content, ControlPlane};
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::proxy::Proxy;
use crate::support::space::Space;

/// The clients on the pages; the mock provider accepts any secret for them.
const WELKIN: [&str; 2] = ["VBOPNRYRWJIP", "QHFRNKJDWUSA"];
const QONTAK: [&str; 2] = ["you@example.com", "shop@example.com"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_runs_or_states_what_it_needs() {
    let pages = page::all();
    print(&marked(&pages));
    // `DOCS_PAGE=install cargo test --test docs` for some of them.
    let only = std::env::var("DOCS_PAGE").unwrap_or_default();
    let chosen = pages.iter().filter(|page| page.path.contains(&only) && !page.blocks.is_empty());
    let runs: Vec<_> = futures::stream::iter(chosen.map(try_page)).buffer_unordered(3).collect().await;
    let failed: Vec<String> = runs.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    if only.is_empty() {
        let run = pages.iter().flat_map(|page| &page.blocks);
        let run = run.filter(|block| block.kind == Kind::Shell && block.needs.is_none()).count();
        assert!(run >= 30, "{run} blocks were run");
    }
}

async fn try_page(page: &Page) -> Result<(), String> {
    let own = page.given.iter().any(|given| given == EMPTY_CLUSTER);
    let plane = if own {
        Arc::new(ControlPlane::start(Content::Empty).await?)
    } else {
        static SHARED: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
        let start = || async { ControlPlane::start(Content::Installed).await.map(Arc::new) };
        Arc::clone(SHARED.get_or_try_init(start).await?)
    };
    let (space, mock_provider) = (Space::on(plane).await, MockProvider::start());
    for name in WELKIN {
        mock_provider.welkin(name);
    }
    for name in QONTAK {
        mock_provider.qontak(name);
    }
    // The manifests name no endpoint, or the vendors' own: the proxy connects all of them to the mock provider.
    let origin = mock_provider.origin();
    let proxy = Proxy::to(origin.trim_start_matches("https://")).await;
    let mut settings = Settings::new(&space, &mock_provider).quick().flag("--log", "info");
    settings = settings.without_flag("--allowed-endpoints").flag("--provider-proxy", &proxy.origin());
    if own {
        settings = settings.kubeconfig(&space.plane.admin_kubeconfig()).without_flag("--namespaces");
    }
    let operator = settings.spawn();
    let mut kept = Vec::new();
    for (secret, key) in &page.keeps {
        kept.push(KeptKey::watch(&space, secret, key).await);
    }
    let began = std::time::Instant::now();
    let session = Session::new(&space.plane.admin_kubeconfig(), &space.name);
    let ran = session.run(page).await;
    ran.map_err(|error| format!("{error}\n{}", operator.shared_output().end()))?;
    let mut reported = format!("docs: {} in {} s", page.path, began.elapsed().as_secs());
    for kept in kept {
        let (versions, values) = kept.check().await.map_err(|error| format!("{}: {error}", page.path))?;
        write!(reported, "; {versions} versions and {values} values of its Secret, the key in each").expect("a String");
    }
    print(&reported);
    Ok(())
}

/// The blocks that are not run, what each needs, and the result of its manifests.
fn marked(pages: &[Page]) -> String {
    let mut text = "docs: not run are, and need:".to_owned();
    for page in pages {
        for block in page.blocks.iter() {
            if let Some(needs) = &block.needs {
                let first = block.text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
                let (path, line, tried) = (&page.path, block.line, session::tried(block));
                write!(text, "\n  {path}:{line} {needs}: {first} ({tried})").expect("a String takes everything");
            }
        }
    }
    text.push_str("\ndocs: read but not applied, because they are parts of manifests:");
    for page in pages {
        for block in page.blocks.iter().filter(|block| block.kind == Kind::Yaml && block.needs.is_none()) {
            if session::content(&block.text) == session::Content::Part {
                write!(text, "\n  {}:{}", page.path, block.line).expect("a String takes everything");
            }
        }
    }
    text
}

/// Not captured as a test's output, because these lists are for people.
fn print(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

#[test]
fn every_yaml_block_can_be_read() {
    for page in page::all() {
        for block in page.blocks.iter().filter(|block| block.kind == Kind::Yaml) {
            session::content(&block.text);
        }
    }
}
