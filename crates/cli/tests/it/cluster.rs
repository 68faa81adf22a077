//! Clusters of real processes on networks that can be cut: whatever dies, pauses, loses its disk or hears nobody,
//! every acknowledged write is there in the end, on all nodes the same, and nobody waits for ever.
//!
//! `VAULT_TEST_LONG=1` makes the slow ones as long as they are meant to be.

#![allow(clippy::print_stdout, reason = "a test says what it measured")]

mod agreement;
mod client;
mod clocks;
mod consistency;
mod disk_loss;
mod formation;
mod leader_loss;
mod levels;
mod membership;
mod network;
mod partition;
mod pause;
mod quorum_loss;
mod recovery;
mod rewrap;
mod rolling_restart;
mod slot;
mod status;
mod strangers;
mod volume;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use tokio::time::{Instant, timeout};

use crate::vault::{ADMIN, Vault};
use client::Client;
use network::Network;
use status::Status;
use writers::create_one;

/// No state of a cluster takes longer to come about, on a busy machine.
const SETTLE_MAX: Duration = Duration::from_secs(40);
/// Time between two looks at something that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);
/// A node that doesn't answer a question about its state within this counts as silent.
const STATUS_MAX: Duration = Duration::from_secs(2);
/// No request may go without an answer for longer.
const REQUEST_MAX: Duration = Duration::from_secs(20);
/// A vault answers within five seconds, whatever became of the others; the rest is the machine's.
const ANSWER_MAX: Duration = Duration::from_millis(6_500);

const API_PORT: u16 = 8_200;
const RAFT_PORT: u16 = 8_300;

/// Nodes by their ids, running or not. They end before the network does.
struct Cluster {
    nodes: BTreeMap<u64, Vault>,
    network: Network,
    /// Keeps connections; bound to the network of the clients.
    http: reqwest::Client,
}

impl Cluster {
    /// A new cluster of nodes 1 to `members`, all ready.
    async fn start(members: u64) -> Cluster {
        let mut cluster = Cluster::prepare(members);
        cluster.start_all().await;
        cluster.expect_one_cluster().await;
        cluster
    }

    /// The same, when its network can be cut; else none, and a word about it.
    async fn severable(members: u64) -> Option<Cluster> {
        let cluster = Cluster::prepare(members);
        if !cluster.network.can_cut() {
            println!("SKIPPED: cutting a network needs root, iproute2 and nftables");
            return None;
        }
        drop(cluster);
        Some(Cluster::start(members).await)
    }

    /// A new cluster, all ready, that the test shares a network with: it can't be cut, but the test can reach the ports
    /// that are for other nodes.
    async fn start_within_reach(members: u64) -> Cluster {
        let mut cluster = Cluster::prepare_on(Network::on_loopback(), members);
        cluster.start_all().await;
        cluster.expect_one_cluster().await;
        cluster
    }

    /// Nodes that know of each other; none is started.
    fn prepare(members: u64) -> Cluster {
        Cluster::prepare_on(Network::new(), members)
    }

    fn prepare_on(network: Network, members: u64) -> Cluster {
        let http = http_client(&network, true);
        let mut cluster = Cluster { nodes: BTreeMap::new(), network, http };
        let ids: Vec<_> = (1..=members).collect();
        for id in &ids {
            cluster.prepare_node(*id, &ids);
        }
        cluster
    }

    /// One more node, not started, which is told of these peers, itself among them.
    fn prepare_node(&mut self, id: u64, peers: &[u64]) {
        self.network.add_node(id);
        let peers: Vec<_> = peers.iter().map(|peer| format!("{peer}={}", self.raft_address(*peer))).collect();
        let listen = format!("{}:{API_PORT}", self.network.api_host(id));
        let node = Vault::prepare(&[
            ("NODE_ID", &id.to_string()),
            ("VAULT_PEERS", &peers.join(",")),
            ("VAULT_API_LISTEN", &listen),
            ("VAULT_ALLOWED_IPS", Network::clients()),
            ("VAULT_LOG", "warn,hyperion_vault=info,openraft=error"),
        ]);
        self.nodes.insert(id, node.launched_by(self.network.launcher(id)));
    }

    /// Starts those that don't run, and waits until all are ready.
    async fn start_all(&mut self) {
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        for id in &ids {
            if !self.nodes[id].is_running() {
                self.spawn(*id);
            }
        }
        for id in ids {
            self.wait_ready(id).await;
        }
    }

    /// All nodes are voters of one cluster.
    async fn expect_one_cluster(&self) {
        let all: BTreeSet<_> = self.nodes.keys().copied().collect();
        let of_leader = self.wait_status("all nodes vote", |status| status.voters() == all).await;
        assert!(of_leader.cluster_id().is_some(), "{of_leader:?}");
        for id in &all {
            let status = until(&format!("node {id} knows that all vote"), async || {
                self.status(*id).await.filter(|status| status.voters() == all)
            })
            .await;
            assert_eq!(status.cluster_id(), of_leader.cluster_id(), "node {id}");
        }
    }

    fn node(&mut self, id: u64) -> &mut Vault {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Changes a setting of a node; it counts from its next start.
    fn set(&mut self, id: u64, name: &str, value: &str) {
        self.node(id).set(name, value);
    }

    fn unset(&mut self, id: u64, name: &str) {
        self.node(id).unset(name);
    }

    /// Starts a node, and doesn't wait until it serves.
    fn spawn(&mut self, id: u64) {
        self.node(id).spawn();
    }

    /// Starts a node and waits until it is ready.
    async fn start_node(&mut self, id: u64) {
        self.spawn(id);
        self.wait_ready(id).await;
    }

    /// `kill -9`.
    fn kill(&mut self, id: u64) {
        self.node(id).kill();
    }

    /// SIGTERM, and how the process ended.
    async fn terminate(&mut self, id: u64) -> ExitStatus {
        let mut node = self.nodes.remove(&id).unwrap();
        let stopping = tokio::task::spawn_blocking(move || (node.terminate(), node));
        let (status, node) = stopping.await.unwrap();
        self.nodes.insert(id, node);
        status
    }

    /// SIGSTOP: the node stands still, its connections stay.
    fn pause(&self, id: u64) {
        self.nodes[&id].signal("STOP");
    }

    fn resume(&self, id: u64) {
        self.nodes[&id].signal("CONT");
    }

    /// Takes everything from the disk of a node that doesn't run.
    fn wipe(&mut self, id: u64) {
        assert!(!self.nodes[&id].is_running());
        fs::remove_dir_all(self.nodes[&id].data_dir()).unwrap();
    }

    /// Copies a node's disk as it is now.
    fn copy_disk(&self, id: u64) -> PathBuf {
        let node = &self.nodes[&id];
        let copy = node.home().join("copy");
        copy_directory(&node.data_dir(), &copy);
        copy
    }

    /// Puts the copy in the place of the disk of a node that doesn't run.
    fn restore_disk(&mut self, id: u64, copy: &Path) {
        self.wipe(id);
        copy_directory(copy, &self.nodes[&id].data_dir());
    }

    fn others(&self, than: &[u64]) -> Vec<u64> {
        self.nodes.keys().copied().filter(|id| !than.contains(id)).collect()
    }

    /// Nothing that a node sends reaches any other.
    fn cut_out(&self, id: u64) {
        for other in self.others(&[id]) {
            self.network.silence(id, other);
        }
    }

    /// Nothing that others send reaches this node.
    fn cut_in(&self, id: u64) {
        for other in self.others(&[id]) {
            self.network.silence(other, id);
        }
    }

    /// Both: the node is alone, but for clients.
    fn cut(&self, id: u64) {
        self.cut_out(id);
        self.cut_in(id);
    }

    /// The node notices that it is alone.
    fn unplug(&self, id: u64) {
        self.network.unplug(id);
    }

    fn heal(&self) {
        self.network.heal();
    }

    /// Where other nodes reach this one.
    fn raft_address(&self, id: u64) -> String {
        format!("{}:{RAFT_PORT}", self.network.node_host(id))
    }

    fn url(&self, id: u64) -> String {
        format!("http://{}:{API_PORT}", self.network.api_host(id))
    }

    /// A request to a node, without a token.
    fn request(&self, id: u64, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(id) + path)
    }

    /// A request to a node with the admin token.
    fn admin(&self, id: u64, method: Method, path: &str) -> RequestBuilder {
        self.request(id, method, path).bearer_auth(ADMIN)
    }

    /// A client that knows all nodes there are now.
    fn client(&self) -> Client {
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        self.client_of(&ids)
    }

    /// A client that knows these nodes and tries the first one first.
    fn client_of(&self, ids: &[u64]) -> Client {
        Client::new(http_client(&self.network, false), ids.iter().map(|id| self.url(*id)).collect())
    }

    fn running(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| node.is_running()).map(|(id, _)| *id).collect()
    }

    async fn is_ready(&self, id: u64) -> bool {
        let answer = self.request(id, Method::GET, "/readyz").timeout(STATUS_MAX).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    async fn wait_ready(&self, id: u64) {
        until(&format!("node {id} is ready"), async || self.is_ready(id).await.then_some(())).await;
    }

    /// What a node says of the cluster; none when it says nothing.
    async fn status(&self, id: u64) -> Option<Status> {
        Status::ask(self.admin(id, Method::GET, "/v1/admin/cluster").timeout(STATUS_MAX)).await
    }

    /// The leader that the running nodes have.
    async fn leader(&self) -> u64 {
        self.leader_among(&self.running()).await
    }

    /// The leader that these nodes have and that is one of them. Asks nobody else.
    async fn leader_among(&self, ids: &[u64]) -> u64 {
        until(&format!("one of {ids:?} leads"), async || {
            let said = join_all(ids.iter().map(|id| self.status(*id))).await;
            let latest = said.into_iter().flatten().filter(|status| status.leader().is_some());
            let leader = latest.max_by_key(Status::term)?.leader()?;
            let status = if ids.contains(&leader) { self.status(leader).await? } else { return None };
            (status.leader() == Some(leader)).then_some(leader)
        })
        .await
    }

    /// Waits until the leader says this of the cluster.
    async fn wait_status(&self, what: &str, so: impl Fn(&Status) -> bool) -> Status {
        until(what, async || {
            let ids = self.running();
            let said = join_all(ids.iter().map(|id| self.status(*id))).await;
            let own = ids.iter().zip(said).filter_map(|(id, said)| said.filter(|s| s.leader() == Some(*id)));
            own.filter(Status::quorum).max_by_key(Status::term).filter(&so)
        })
        .await
    }

    /// Waits until a node votes and has caught up.
    async fn wait_voter(&self, id: u64) {
        self.wait_status(&format!("node {id} votes"), |status| status.is_caught_up_voter(id)).await;
    }

    /// Hands leadership over to a node of three. The third one stands still meanwhile.
    async fn make_leader(&self, id: u64) {
        until(&format!("node {id} leads"), async || {
            let leader = self.leader().await;
            if leader == id {
                return Some(());
            }
            let aside = self.others(&[leader, id]);
            aside.iter().for_each(|id| self.pause(*id));
            // What only these two have makes it the one that is furthest.
            let mark = format!("led-by-{id}/{}", fastrand::u64(..));
            create_one(&self.client_of(&[leader]), &mark).await;
            // Asked once: whoever leads by the time of a second request would hand it on.
            let _ = self.admin(leader, Method::POST, "/v1/admin/cluster/step-down").send().await;
            let _ = timeout(STATUS_MAX, self.leader_among(&[id])).await;
            aside.iter().for_each(|id| self.resume(*id));
            None
        })
        .await;
        until(&format!("all see that {id} leads"), async || {
            let said = join_all(self.running().into_iter().map(|id| self.status(id))).await;
            said.iter().flatten().all(|status| status.leader() == Some(id)).then_some(())
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (id, node) in &self.nodes {
                println!("--- node {id} ---\n{}", last_lines(&node.log()));
            }
        }
    }
}

/// Enough of a log to see what came before a failure.
fn last_lines(log: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn http_client(network: &Network, keep_alive: bool) -> reqwest::Client {
    let mut builder = reqwest::Client::builder().no_proxy().timeout(REQUEST_MAX);
    if let Some(interface) = network.clients_interface() {
        builder = builder.interface(&interface);
    }
    if !keep_alive {
        builder = builder.pool_max_idle_per_host(0);
    }
    builder.build().unwrap()
}

/// Looks again and again until there is something, but not for ever.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < SETTLE_MAX, "waited in vain until {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn copy_directory(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
