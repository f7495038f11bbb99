//! `rollcall serve`: from settings to a running node, until a signal says to stop.

use std::io::Write;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Settings};
use crate::node::Node;
use crate::telemetry::{self, Metrics};

/// Exit code for a configuration that is wrong.
const EXIT_USAGE: u8 = 64;
/// Exit code where the system lacks something.
const EXIT_SYSTEM: u8 = 71;
/// Threads for handshakes, HTTP and the directory; the shards have their own.
const FRONT_THREADS: usize = 2;

/// Runs a node with these settings until SIGTERM or SIGINT.
pub fn serve(settings: Settings) -> ExitCode {
    let config = match Config::read(settings) {
        Ok(config) => config,
        Err(error) => return fail(EXIT_USAGE, &error.to_string()),
    };
    if let Err(error) = telemetry::start_logs(&config) {
        return fail(EXIT_USAGE, &error);
    }
    // A file that may not grow is an error like any other, not the end of the process.
    ignore_file_size_signal();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(FRONT_THREADS)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => fail(EXIT_SYSTEM, &format!("no threads can be started: {error}")),
    }
}

async fn run(config: Config) -> ExitCode {
    let metrics = match Metrics::start() {
        Ok(metrics) => metrics,
        Err(error) => return fail(EXIT_SYSTEM, &error),
    };
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return fail(EXIT_SYSTEM, "signals cannot be received");
    };
    let node = match Node::start(&config, Some(metrics)).await {
        Ok(node) => node,
        Err(error) => return fail(error.exit_code(), &error.to_string()),
    };
    let admin = node.admin_address.map_or_else(|| "none".into(), |a| a.to_string());
    tracing::info!(listen = %node.address, admin_listen = %admin, data = %config.data.display(), "serving");
    // Whoever started it may not read it.
    let _unread =
        writeln!(std::io::stdout(), "rollcall serves ws://{}/ws (metrics: {admin})", node.address);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    node.stop().await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

fn fail(code: u8, said: &str) -> ExitCode {
    eprintln!("rollcall: {said}");
    ExitCode::from(code)
}

#[expect(unsafe_code, reason = "the standard library has no call that ignores a signal")]
fn ignore_file_size_signal() {
    // SAFETY: SIG_IGN is a valid disposition, and no other thread runs yet.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
