//! A line service on loopback with the leaks that async Rust programs have, and a healthy request
//! beside them. One request a line, answered by one line:
//!
//!     forget SIZE    a task that waits for ever keeps an Arc<Vec<u8>>; its handle is forgotten
//!     cycle SIZE     two sessions hold each other by Arc, each with a buffer of SIZE bytes
//!     grow SIZE      a buffer grows by reallocation up to SIZE bytes, and is dropped
//!     healthy SIZE   a buffer lives as long as its request
//!     stats          what the counting allocator counted, and how often a task changed its thread
//!     quit           the service ends
//!
//! Usage: tokio-service current|multi [WORKERS]
//! It says "listening PORT" on stdout as soon as it serves.

mod allocator;
mod requests;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// How often a request went on in another thread than the one it began in.
pub static MIGRATIONS: AtomicU64 = AtomicU64::new(0);

/// Answers a line into a caller's buffer: the service itself allocates nothing here.
fn write_stats(mut out: &mut [u8]) -> usize {
    let room = out.len();
    let figures = allocator::figures().unwrap_or([0; 4]);
    let _ = writeln!(
        out,
        "total_bytes={} total_blocks={} live_bytes={} live_blocks={} migrations={}",
        figures[0],
        figures[1],
        figures[2],
        figures[3],
        MIGRATIONS.load(Ordering::Relaxed)
    );
    room - out.len()
}

async fn answer(line: &str, out: &mut [u8; 256], quit: &Notify) -> usize {
    let (verb, size) = line.split_once(' ').unwrap_or((line, "0"));
    let size: usize = size.trim().parse().unwrap_or(0);
    match verb {
        "forget" => requests::forget_task(size).await,
        "cycle" => requests::run(requests::open_sessions(size)).await,
        "grow" => requests::run(requests::collect_body(size)).await,
        "healthy" => requests::run(requests::healthy_request(size)).await,
        "stats" => return write_stats(out),
        "quit" => quit.notify_one(),
        _ => {
            out[..4].copy_from_slice(b"bad\n");
            return 4;
        }
    }
    out[..3].copy_from_slice(b"ok\n");
    3
}

async fn serve_connection(mut stream: TcpStream, quit: Arc<Notify>) -> std::io::Result<()> {
    let mut buffer = [0u8; 4096];
    let mut out = [0u8; 256];
    let mut filled = 0;

    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let mut start = 0;
        while let Some(length) = buffer[start..filled].iter().position(|&c| c == b'\n') {
            let line = std::str::from_utf8(&buffer[start..start + length]).unwrap_or("");
            let count = answer(line, &mut out, &quit).await;
            stream.write_all(&out[..count]).await?;
            start += length + 1;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

async fn serve(quit: Arc<Notify>) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_connection(stream, Arc::clone(&quit)));
    }
}

fn runtime(kind: &str, workers: usize) -> std::io::Result<Runtime> {
    match kind {
        "current" => Builder::new_current_thread().enable_io().build(),
        _ => Builder::new_multi_thread().worker_threads(workers).enable_io().build(),
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_else(|| "multi".to_string());
    let workers = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(4);
    let runtime = runtime(&kind, workers)?;
    let quit = Arc::new(Notify::new());

    runtime.block_on(async {
        let server = tokio::spawn(serve(Arc::clone(&quit)));
        quit.notified().await;
        server.abort();
    });
    Ok(())
}
