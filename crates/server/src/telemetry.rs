//! What the operator sees: logs and metrics. No secret, and nothing that a watcher could read.

use std::io::IsTerminal;

use metrics::{Counter, Gauge, counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use presence::close::Close;
use presence::ids::ShardId;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Turns of the loop between two updates of a shard's gauges.
const TURNS_PER_UPDATE: u32 = 64;

/// Starts logging, to standard error. Called once.
pub(crate) fn start_logs(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| format!("--log {}: {error}", config.log))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // A log that nobody reads any more, or a full disk under it, ends no server.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().try_init(),
    }
    .map_err(|error| format!("logs cannot be started: {error}"))
}

/// Everything that is counted, as text for Prometheus.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Starts counting. Called once.
    pub fn start() -> Result<Self, String> {
        let handle = PrometheusBuilder::new()
            .install_recorder()
            .map_err(|error| format!("metrics cannot be started: {error}"))?;
        describe();
        Ok(Self { handle })
    }

    /// The counts as they are now.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render() + &crate::process::render()
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge};
    describe_gauge!("rollcall_sessions", "Live sessions");
    describe_gauge!("rollcall_connections", "Sockets after their handshake");
    describe_gauge!("rollcall_watched_users", "Users whom a session of the shard watches");
    describe_gauge!("rollcall_ready", "Whether /readyz says 200");
    describe_counter!("rollcall_patches_total", "Patches written");
    describe_counter!("rollcall_writes_total", "Writes to sockets");
    describe_counter!("rollcall_reports_total", "Reports received");
    describe_counter!("rollcall_closes_total", "Sockets closed by this node, by reason");
    describe_counter!("rollcall_handshakes_total", "Handshakes, by result");
    describe_counter!("rollcall_logins_total", "Logins, by result");
}

/// What one shard counts: summed here, and handed over every few turns of its loop.
pub(crate) struct ShardMeters {
    /// Patches since the last update.
    pub patches: u64,
    /// Writes since the last update.
    pub writes: u64,
    /// Reports since the last update.
    pub reports: u64,
    turns: u32,
    patches_total: Counter,
    writes_total: Counter,
    reports_total: Counter,
    sessions: Gauge,
    connections: Gauge,
    watched: Gauge,
}

impl ShardMeters {
    /// The meters of one shard.
    pub(crate) fn new(shard: ShardId) -> Self {
        let shard = shard.0.to_string();
        Self {
            patches: 0,
            writes: 0,
            reports: 0,
            turns: 0,
            patches_total: counter!("rollcall_patches_total", "shard" => shard.clone()),
            writes_total: counter!("rollcall_writes_total", "shard" => shard.clone()),
            reports_total: counter!("rollcall_reports_total", "shard" => shard.clone()),
            sessions: gauge!("rollcall_sessions", "shard" => shard.clone()),
            connections: gauge!("rollcall_connections", "shard" => shard.clone()),
            watched: gauge!("rollcall_watched_users", "shard" => shard),
        }
    }

    /// Called at the end of each turn.
    pub(crate) fn turn(&mut self, state: impl FnOnce() -> [usize; 3], is_idle: bool) {
        self.turns += 1;
        if !is_idle && self.turns < TURNS_PER_UPDATE {
            return;
        }
        self.turns = 0;
        let [sessions, connections, watched] = state();
        self.patches_total.increment(std::mem::take(&mut self.patches));
        self.writes_total.increment(std::mem::take(&mut self.writes));
        self.reports_total.increment(std::mem::take(&mut self.reports));
        self.sessions.set(as_float(sessions));
        self.connections.set(as_float(connections));
        self.watched.set(as_float(watched));
    }

    /// A socket is closed.
    pub(crate) fn closed(&self, close: Close) {
        counter!("rollcall_closes_total", "reason" => protocol::close::name(close)).increment(1);
    }
}

fn as_float(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}
