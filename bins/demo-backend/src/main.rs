//! A small SQLite-over-HTTP service in WAL mode: what ccm keeps alive in the demo and the tests.
//!
//! It stands for a Convex backend: one process over one SQLite file, which it opens like any
//! other program. A write is acknowledged only after its COMMIT has returned. It takes no lock
//! beside SQLite's own: that two of them never run at once is ccm's promise, not this program's.

mod db;
mod http;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// After SIGTERM, requests that are under way may take so long.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// A small SQLite-over-HTTP service in WAL mode.
#[derive(Debug, Parser)]
#[command(name = "demo-backend", version)]
struct Args {
    /// The database file; made when missing, refused when not in WAL mode.
    #[arg(long)]
    db: PathBuf,
    /// Where to listen; port 0 picks one and prints it.
    #[arg(long, required_unless_present = "check")]
    listen: Option<SocketAddr>,
    /// Only print `{"integrity", "count"}` of a database that nobody writes, and end.
    #[arg(long, conflicts_with = "listen")]
    check: bool,
    /// When a commit is on disk: with every commit (full), or with every checkpoint (normal).
    #[arg(long, value_enum, default_value = "full")]
    synchronous: db::Synchronous,
    /// The name written into every row; by default the address it listens on.
    #[arg(long)]
    host: Option<String>,
    /// For tests: live on after SIGTERM.
    #[arg(long)]
    ignore_sigterm: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-backend: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(path: &Path) -> Result<()> {
    let reader = db::Reader::open(path)?;
    let count = reader.count(None)?.count;
    let answer = serde_json::json!({ "integrity": reader.integrity()?, "count": count });
    println!("{answer}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: Args) -> Result<()> {
    let Some(listen) = args.listen else {
        return check(&args.db);
    };
    let host = args.host.unwrap_or_else(|| listen.to_string());
    let (writer, thread) = db::start_writer(&args.db, args.synchronous, host)?;
    let reader = db::Reader::open(&args.db)?;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("could not listen on {listen}"))?;
    let mut terminate = signal(SignalKind::terminate()).context("could not watch for SIGTERM")?;
    println!("listening on {}", listener.local_addr()?);

    let (told, mut stopping) = tokio::sync::watch::channel(false);
    let mut drained = told.subscribe();
    let ignore = args.ignore_sigterm;
    let until_told = async move {
        while terminate.recv().await.is_some() && ignore {}
        told.send_replace(true);
    };
    let service = http::router(http::App::new(writer, reader));
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        stopping.wait_for(|stop| *stop).await.ok();
    });
    let overdue = async move {
        drained.wait_for(|stop| *stop).await.ok();
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    let serving = async move { tokio::join!(serving.into_future(), until_told).0 };
    tokio::select! {
        done = serving => done.context("could not serve")?,
        () = overdue => eprintln!("demo-backend: a client held on past the stop"),
    }
    // The service is gone and with it the last sender: the thread commits what is queued and ends.
    tokio::task::spawn_blocking(move || thread.join())
        .await
        .ok()
        .and_then(Result::ok)
        .context("the writer thread panicked")
}
