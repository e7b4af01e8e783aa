//! What a request can do: two ways to leak, one way to churn, and one to be healthy.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tokio::task::yield_now;

use crate::MIGRATIONS;

/// Runs a request as a task of its own, which any worker may poll, and counts its moves.
pub async fn run<F>(request: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let _ = tokio::spawn(request).await;
}

/// Gives other tasks a turn; with several workers, the task may wake up in another thread.
async fn breathe() {
    let before = std::thread::current().id();
    yield_now().await;
    if std::thread::current().id() != before {
        MIGRATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// The audit task never ends, so it never drops its record.
async fn audit_for_ever(record: Arc<Vec<u8>>) {
    std::future::pending::<()>().await;
    drop(record);
}

/// (a) The handle of a spawned task is forgotten, and the task waits for ever.
pub async fn forget_task(size: usize) {
    let record = Arc::new(vec![1u8; size]);
    std::mem::forget(tokio::spawn(audit_for_ever(record)));
}

struct Session {
    peer: Mutex<Option<Arc<Session>>>,
    buffer: Vec<u8>,
}

impl Session {
    fn open(size: usize) -> Arc<Session> {
        Arc::new(Session { peer: Mutex::new(None), buffer: vec![2u8; size] })
    }
}

/// (b) Two sessions know each other, and keep each other alive.
pub async fn open_sessions(size: usize) {
    let caller = Session::open(size);
    let callee = Session::open(size);
    breathe().await;
    *caller.peer.lock().unwrap() = Some(Arc::clone(&callee));
    *callee.peer.lock().unwrap() = Some(Arc::clone(&caller));
    assert_eq!(caller.buffer.len(), callee.buffer.len());
}

/// (c) A body is collected piece by piece: the buffer doubles again and again.
pub async fn collect_body(size: usize) {
    let mut body: Vec<u8> = Vec::new();
    while body.len() < size {
        body.extend_from_slice(&[3u8; 64]);
        if body.len() == body.capacity() {
            breathe().await;
        }
    }
}

/// (d) What a request should be: all it takes, it gives back.
pub async fn healthy_request(size: usize) {
    let page = vec![4u8; size];
    breathe().await;
    assert_eq!(page.len(), size);
}
