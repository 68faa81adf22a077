//! How much the files take for what is in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fixture::*;

const SECRETS: u64 = 20_000;
const CLIENTS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_secrets_take_less_than_four_times_their_rows() {
    let directory = tempfile::tempdir().unwrap();
    let node = Arc::new(start(config(), directory.path()).await);
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (node, next) = (Arc::clone(&node), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SECRETS {
                        return;
                    }
                    node.propose(create(number, 216)).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let row_bytes: u64 = rows(&node.view()).iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    let file_bytes = || node.stats().log_file_bytes.get() + node.stats().state_file_bytes.get();
    let running = file_bytes();
    assert!(running < 4 * row_bytes, "{running} bytes of files for {row_bytes} of rows while running");
    node.shutdown().await.unwrap();
    let stopped = file_bytes();
    assert!(stopped < 3 * row_bytes, "{stopped} bytes of files for {row_bytes} of rows after a stop");
}
