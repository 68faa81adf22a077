//! The storage of a vault that doesn't run, opened by the test itself.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_raft::{DataDir, Node, NodeConfig};
use hyperion_vault_server::adapters::clock::SystemClock;

use crate::vault::Vault;

/// A node on the vault's data, ready. Shut it down before the vault goes on.
pub(crate) async fn open_node(vault: &Vault) -> Node {
    let disk = Arc::new(DataDir::beside(&vault.data_dir().join("vault.redb")).unwrap());
    let node = Node::start(NodeConfig::new(1, [0; 40]), disk, Arc::new(SystemClock), Arc::new(|_| {}));
    let node = node.await.unwrap();
    node.wait_ready(Duration::from_secs(30)).await.unwrap();
    node
}
