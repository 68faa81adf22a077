//! The network of a cluster, which a test can cut.
//!
//! Each node lives in a network namespace of its own with two interfaces. `nodes` leads to a bridge in one more
//! namespace: the network between the nodes, and the only one that is ever cut. `api` leads to a bridge beside the
//! test: the way of the clients. Addresses are of 198.18.0.0/15, which RFC 2544 sets apart for tests.
//!
//! Without the right to all this the nodes have loopback addresses of their own, and can't be cut.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::slot::Slot;

/// Every namespace and interface of the tests begins so, followed by the slot.
const PREFIX: &str = "hvt";
/// The last part of the bridge's address beside the test.
const CLIENTS_HOST: u8 = 254;
/// Drops what comes from an address in `silenced`. Without an answer and without an error: the worse kind of cut.
const CUT_RULES: &str = "table inet cuts {
    set silenced { type ipv4_addr; }
    chain input {
        type filter hook input priority 0;
        ip saddr @silenced drop
    }
}";

pub(super) struct Network {
    slot: Slot,
    /// Of the nodes that have namespaces; none of them on loopback.
    separate: BTreeSet<u64>,
    can_cut: bool,
}

impl Network {
    pub(super) fn new() -> Network {
        let slot = Slot::take(clear);
        let can_cut = has_nftables() && may_add_namespaces(slot.number);
        let network = Network { slot, separate: BTreeSet::new(), can_cut };
        if can_cut {
            network.add_bridges();
        }
        network
    }

    /// Loopback, even where more is allowed.
    pub(super) fn on_loopback() -> Network {
        Network { slot: Slot::take(clear), separate: BTreeSet::new(), can_cut: false }
    }

    pub(super) fn can_cut(&self) -> bool {
        self.can_cut
    }

    /// Gives a node its place.
    pub(super) fn add_node(&mut self, id: u64) {
        if !self.can_cut || !self.separate.insert(id) {
            return;
        }
        let (own, hub, outside) = (self.namespace(id), self.hub(), self.bridge());
        let outer_end = format!("{outside}-{id}");
        ip(&format!("netns add {own}"));
        ip(&format!("-n {own} link set lo up"));
        ip(&format!("-n {own} link add nodes type veth peer name node{id} netns {hub}"));
        ip(&format!("-n {hub} link set node{id} master nodes up"));
        ip(&format!("link add {outer_end} type veth peer name api netns {own}"));
        ip(&format!("link set {outer_end} master {outside} up"));
        for (interface, address) in [("nodes", self.node_host(id)), ("api", self.api_host(id))] {
            ip(&format!("-n {own} address add {address}/24 dev {interface}"));
            ip(&format!("-n {own} link set {interface} up"));
        }
        nft(&own, CUT_RULES);
    }

    fn add_bridges(&self) {
        let (hub, outside, slot) = (self.hub(), self.bridge(), self.slot.number);
        ip(&format!("-n {hub} link add nodes type bridge"));
        ip(&format!("-n {hub} link set nodes up"));
        ip(&format!("link add {outside} type bridge"));
        ip(&format!("address add 198.19.{slot}.{CLIENTS_HOST}/24 dev {outside}"));
        ip(&format!("link set {outside} up"));
    }

    /// Where other nodes reach this one.
    pub(super) fn node_host(&self, id: u64) -> String {
        let network = if self.can_cut { "198.18" } else { "127.18" };
        format!("{network}.{}.{id}", self.slot.number)
    }

    /// Where clients reach it.
    pub(super) fn api_host(&self, id: u64) -> String {
        if self.can_cut { format!("198.19.{}.{id}", self.slot.number) } else { self.node_host(id) }
    }

    /// Networks of the clients.
    pub(super) fn clients() -> &'static str {
        "198.19.0.0/16,127.0.0.0/8"
    }

    /// The interface of the clients: bound to it, nothing that they send can go anywhere else.
    pub(super) fn clients_interface(&self) -> Option<String> {
        self.can_cut.then(|| self.bridge())
    }

    /// What a node's process is started by. It replaces itself with the process: signals reach that.
    pub(super) fn launcher(&self, id: u64) -> Vec<String> {
        if !self.can_cut {
            return Vec::new();
        }
        vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", self.namespace(id))]
    }

    /// From here on nothing that `from` sends reaches `to`.
    pub(super) fn silence(&self, from: u64, to: u64) {
        assert!(self.can_cut, "loopback can't be cut");
        let address = self.node_host(from);
        nft(&self.namespace(to), &format!("add element inet cuts silenced {{ {address} }}"));
    }

    /// Pulls a node's cable to the others, which it notices.
    pub(super) fn unplug(&self, id: u64) {
        ip(&format!("-n {} link set node{id} down", self.hub()));
    }

    /// Everybody hears everybody.
    pub(super) fn heal(&self) {
        for id in &self.separate {
            nft(&self.namespace(*id), "flush set inet cuts silenced");
            ip(&format!("-n {} link set node{id} up", self.hub()));
        }
    }

    fn namespace(&self, id: u64) -> String {
        format!("{}-{id}", self.bridge())
    }

    fn hub(&self) -> String {
        hub(self.slot.number)
    }

    /// The one beside the test; also what all names of this cluster begin with.
    fn bridge(&self) -> String {
        format!("{PREFIX}{}", self.slot.number)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        clear(self.slot.number);
    }
}

fn hub(slot: u8) -> String {
    format!("{PREFIX}{slot}-hub")
}

/// Makes the namespace between the nodes, where that is allowed.
fn may_add_namespaces(slot: u8) -> bool {
    Command::new("ip").args(["netns", "add", &hub(slot)]).output().is_ok_and(|output| output.status.success())
}

fn has_nftables() -> bool {
    Command::new("nft").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Ends the processes and takes away the namespaces and interfaces of a slot, whoever left them.
fn clear(slot: u8) {
    let (own, members) = (format!("{PREFIX}{slot}"), format!("{PREFIX}{slot}-"));
    for interface in entries("/sys/class/net") {
        if interface == own || interface.starts_with(&members) {
            ip(&format!("link delete {interface}"));
        }
    }
    for namespace in entries("/run/netns") {
        if namespace.starts_with(&members) {
            let pids = ip(&format!("netns pids {namespace}"));
            for pid in pids.split_whitespace() {
                let _ = Command::new("kill").args(["-KILL", pid]).output();
            }
            ip(&format!("netns delete {namespace}"));
        }
    }
}

/// Names in a directory; none when there is no such directory.
fn entries(directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// `ip` with these words; what it prints.
fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    // While a test unwinds, a second panic would hide the first.
    assert!(output.status.success() || std::thread::panicking(), "ip {words}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn nft(namespace: &str, rules: &str) {
    let mut nft = Command::new("ip")
        .args(["netns", "exec", namespace, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{namespace}: {rules}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a datagram that node `from` sends reaches node `to`.
    fn hears(network: &Network, from: u64, to: u64) -> bool {
        const HEAR: &str = "import socket, sys
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind((sys.argv[1], 9))
print(flush=True)
ear.settimeout(1)
ear.recv(1)";
        const SPEAK: &str = "import socket, sys
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mouth.sendto(b'.', (sys.argv[1], 9))";
        let python = |id, script: &str| {
            let launcher = network.launcher(id);
            let mut command = Command::new(&launcher[0]);
            command.args(&launcher[1..]).args(["python3", "-c", script, &network.node_host(to)]);
            command.stderr(Stdio::null());
            command
        };
        let mut ear = python(to, HEAR).stdout(Stdio::piped()).spawn().unwrap();
        // It says when it listens.
        std::io::Read::read_exact(&mut ear.stdout.take().unwrap(), &mut [0]).unwrap();
        let _ = python(from, SPEAK).status().unwrap();
        ear.wait().unwrap().success()
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a test says what it leaves out")]
    fn a_cut_is_one_way_or_both_and_heals() {
        let mut network = Network::new();
        if !network.can_cut() {
            eprintln!("SKIPPED: network namespaces and nftables need root; cuts were not tested");
            return;
        }
        network.add_node(1);
        network.add_node(2);
        let heard = |network: &Network| (hears(network, 1, 2), hears(network, 2, 1));
        assert_eq!(heard(&network), (true, true));
        network.silence(1, 2);
        assert_eq!(heard(&network), (false, true));
        network.silence(2, 1);
        assert_eq!(heard(&network), (false, false));
        network.heal();
        network.unplug(2);
        assert_eq!(heard(&network), (false, false));
        network.heal();
        // A bridge notices a new link within a second.
        let healed = (0..10).any(|_| heard(&network) == (true, true));
        assert!(healed, "a cable that is plugged in again works");
        let slot = network.slot.number;
        drop(network);
        assert!(entries("/run/netns").iter().all(|name| !name.starts_with(&format!("{PREFIX}{slot}-"))));
    }
}
