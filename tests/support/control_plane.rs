//! A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager.
//!
//! RBAC is on. Two kubeconfigs: `admin` may do everything; `operator` is the operator's own service account with the
//! permissions of the mode of the run (see [`super::mode`]), so that a missing permission fails a test. Everything is
//! in one scratch directory and is removed with this process, also when it is killed (see [`super::reaper`]).

mod files;
mod install;
mod programs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use self::files::Files;
pub use self::files::kept_audit;
use self::programs::{Ports, Programs};
use super::process::Process;
use super::{mode, random, reaper};

/// From spawning the API server to its `/readyz`; about 5 s where nothing else runs.
const READY_WITHIN: Duration = Duration::from_secs(300);

/// A free port may be taken between finding and using it.
const TRIES: usize = 5;

/// What is applied to a control plane before it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The CRD from `crds/`, and the operator's service account with the permissions that it has everywhere.
    Installed,
    /// Nothing: the test applies the files.
    Empty,
}

/// A running control plane; stopped when dropped.
pub struct ControlPlane {
    flags: Vec<String>,
    files: Files,
    ports: Ports,
    programs: Programs,
    api_server: Mutex<Option<Process>>,
    controller_manager: Mutex<Option<Process>>,
    etcd: Mutex<Option<Process>>,
}

/// The control plane that all tests of this process share; the first call starts it and takes some seconds.
///
/// Blocks instead of awaiting: each test has its own runtime, and the first to come starts it for all.
pub fn shared() -> Arc<ControlPlane> {
    static SHARED: OnceLock<Result<Arc<ControlPlane>, String>> = OnceLock::new();
    let start = || on_own_runtime(ControlPlane::start(Content::Installed)).map(Arc::new);
    match SHARED.get_or_init(start) {
        Ok(plane) => Arc::clone(plane),
        Err(error) => panic!("the shared control plane did not start: {error}"),
    }
}

impl ControlPlane {
    /// Starts one. The error is readable and contains the end of the log of the program that failed.
    pub async fn start(content: Content) -> Result<Self, String> {
        Self::start_with(content, &[]).await
    }

    /// The same with more flags of the API server.
    pub async fn start_with(content: Content, flags: &[&str]) -> Result<Self, String> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let programs = Programs::find()?;
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::start_once(&programs, content, flags).await {
                Err(error) if tries < TRIES && error.contains("address already in use") => {}
                result => return result,
            }
        }
    }

    async fn start_once(programs: &Programs, content: Content, flags: &[&str]) -> Result<Self, String> {
        let ports = Ports::free();
        let directory = reaper::directory().join(format!("control-plane-{}", random::suffix()));
        let files = Files::write(directory, ports.api_server).map_err(|error| format!("writing files: {error}"))?;
        let etcd = programs.etcd(&files, &ports)?;
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let api_server = programs.api_server(&files, &ports, &flags)?;
        let client = client(&files.kubeconfig("admin")).await;
        programs::ready(&client, &[&etcd, &api_server], &files, READY_WITHIN).await?;
        // Before the controller manager: its garbage collector learns of a later kind only after 30 s.
        if content == Content::Installed {
            install::everything(&client).await?;
            let token = token_of(&client, mode::NAME, mode::NAME).await;
            files.write_kubeconfig("operator", &token).map_err(|error| format!("writing files: {error}"))?;
        }
        let controller_manager = programs.controller_manager(&files)?;
        Ok(Self {
            flags,
            files,
            ports,
            programs: programs.clone(),
            api_server: Mutex::new(Some(api_server)),
            controller_manager: Mutex::new(Some(controller_manager)),
            etcd: Mutex::new(Some(etcd)),
        })
    }

    /// Where this control plane keeps its files and logs.
    pub fn directory(&self) -> &Path {
        self.files.directory()
    }

    /// The API server's URL.
    pub fn url(&self) -> String {
        self.files.url()
    }

    /// A kubeconfig with all permissions.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.files.kubeconfig("admin")
    }

    /// A kubeconfig with the operator's permissions.
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.files.kubeconfig("operator")
    }

    /// Writes a kubeconfig for a bearer token, such as one from a service account's TokenRequest.
    pub fn kubeconfig_for_token(&self, name: &str, token: &str) -> PathBuf {
        self.files.write_kubeconfig(name, token).expect("a kubeconfig can be written")
    }

    /// The operator's kubeconfig for another server, with this URL and CA.
    pub fn kubeconfig_through(&self, url: &str, ca: &str) -> PathBuf {
        self.files.write_kubeconfig_through(url, ca).expect("a kubeconfig can be written")
    }

    /// A kubeconfig with a token that the API server issues to a service account, as it does for a pod.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> PathBuf {
        let token = token_of(&self.client().await, namespace, name).await;
        self.kubeconfig_for_token(&format!("{namespace}-{name}"), &token)
    }

    /// The audit log: one JSON event a line, at level Metadata, for the resources that the operator touches.
    pub fn audit_log(&self) -> PathBuf {
        self.files.audit_log()
    }

    /// A client of the user `admin` for the calling runtime.
    pub async fn client(&self) -> Client {
        client(&self.admin_kubeconfig()).await
    }

    /// Stops the API server with SIGSTOP: connections stay open and nothing responds.
    pub fn pause_api_server(&self) {
        self.with_api_server(Process::pause);
    }

    /// Continues a stopped API server.
    pub fn resume_api_server(&self) {
        self.with_api_server(Process::resume);
    }

    /// Kills the API server: connections break, new ones are refused.
    pub fn stop_api_server(&self) {
        take(&self.api_server);
    }

    /// Kills etcd. The API server keeps running without its store.
    pub fn stop_etcd(&self) {
        take(&self.etcd);
    }

    /// Starts etcd again on the data it had.
    pub fn start_etcd(&self) {
        let process = self.programs.etcd(&self.files, &self.ports).expect("etcd starts");
        put(&self.etcd, process);
    }

    /// Copies etcd's data, as a backup tool would: nothing is written meanwhile.
    pub fn back_up(&self) -> PathBuf {
        self.stop_etcd();
        let copy = self.files.path("backup");
        copy_directory(&self.files.path("etcd"), &copy).expect("etcd's data can be copied");
        self.start_etcd();
        copy
    }

    /// Stops everything, restores a copy of etcd's data, and starts everything again.
    pub async fn put_back(&self, copy: &Path) {
        for process in [&self.controller_manager, &self.api_server, &self.etcd] {
            take(process);
        }
        let data = self.files.path("etcd");
        std::fs::remove_dir_all(&data).expect("etcd's data can be removed");
        copy_directory(copy, &data).expect("etcd's data can be put back");
        self.start_etcd();
        self.start_api_server().await;
        put(&self.controller_manager, self.programs.controller_manager(&self.files).expect("it starts"));
    }

    /// Starts the API server again on the same port and waits until it is ready.
    pub async fn start_api_server(&self) {
        let process = self.programs.api_server(&self.files, &self.ports, &self.flags).expect("kube-apiserver starts");
        let client = self.client().await;
        programs::ready(&client, &[&process], &self.files, READY_WITHIN).await.expect("kube-apiserver is ready");
        put(&self.api_server, process);
    }

    /// Waits until the API server is ready, its store included.
    pub async fn wait_ready(&self) {
        let client = self.client().await;
        programs::ready(&client, &[], &self.files, READY_WITHIN).await.expect("kube-apiserver is ready");
    }

    fn with_api_server(&self, act: impl FnOnce(&Process)) {
        let guard = self.api_server.lock().unwrap_or_else(PoisonError::into_inner);
        act(guard.as_ref().expect("the API server was not stopped"));
    }
}

/// Stops it, if it runs.
fn take(process: &Mutex<Option<Process>>) {
    process.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn put(place: &Mutex<Option<Process>>, process: Process) {
    place.lock().unwrap_or_else(PoisonError::into_inner).replace(process);
}

fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A token that outlives every run, of a service account.
async fn token_of(client: &Client, namespace: &str, name: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let issued = accounts.create_token_request(name, &PostParams::default(), &request).await;
    issued.expect("a token can be requested").status.expect("the answer holds a token").token
}

/// A client for a kubeconfig, in the calling runtime.
pub async fn client(kubeconfig: &Path) -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig is readable");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is complete")).expect("a client can be made")
}

fn on_own_runtime<T: Send>(future: impl Future<Output = Result<T, String>> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(future)
        });
        thread.join().unwrap_or_else(|_| Err("it panicked; see above".to_owned()))
    })
}
