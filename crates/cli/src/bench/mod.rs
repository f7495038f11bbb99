//! `rollcall bench`: load on a server, with every delivery checked.
//!
//! Logs in the users of a graph, lets them report at a rate or a window, measures what arrives, and
//! compares at the end what every watcher holds with what was last sent. It never runs against a
//! server whose relations are not the graph's.

mod check;
mod conn;
mod differences;
mod engine;
mod frame;
mod graph;
mod join;
mod message;
mod meter;
mod pace;
mod report;
mod sends;
mod upgrade;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use client::Target;
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::{clock, limits, span};
use engine::{Engine, EngineError};
use graph::Graph;
use join::{JoinError, Server};
use meter::{Meter, MeterError, Reading};
use pace::{Lateness, Pace};
use report::Results;

/// Open files that are needed besides the sockets.
const FILES_BESIDES: u64 = 32;
/// How often the progress is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecChoice {
    /// `rollcall.v1.json`
    Json,
}

/// Flags of `rollcall bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A server's address; give it again for each further node
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080/ws")]
    url: Vec<String>,
    /// A server's admin address, for its CPU and memory; give it again for each further node
    #[arg(long, value_name = "URL")]
    admin_url: Vec<String>,
    /// How many users log in
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    users: u32,
    /// How many users each of them watches
    #[arg(long, value_name = "K", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    follow: u16,
    /// Determines the graph
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Reports per second over all users; without it, as many as --window lets out
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Reports outstanding at a time, where no --rate is given
    #[arg(long, value_name = "W", default_value_t = 1_024, value_parser = parse_window, conflicts_with = "rate")]
    window: usize,
    /// How long reports are sent
    #[arg(long, value_name = "D", default_value = "10s", value_parser = span::parse)]
    duration: Duration,
    /// How messages are encoded
    #[arg(long, value_enum, default_value = "json")]
    codec: CodecChoice,
    /// Write the graph as lines `follower,followee` for `rollcall import follows`, and end
    #[arg(long, value_name = "FILE.csv")]
    write_follows: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("a rate is a number above 0, in reports per second".into()),
    }
}

fn parse_window(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(window) if window > 0 => Ok(window),
        _ => Err("a window is a number of reports, at least 1".into()),
    }
}

/// Runs the load test, or writes its graph.
pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    if args.write_follows.is_none() {
        check_open_files(args.users)?;
    }
    let graph = Graph::new(args.users, args.follow, args.seed)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(path) = &args.write_follows {
        return write_follows(&graph, path);
    }
    let CodecChoice::Json = args.codec;
    let servers = resolve(&args.url)?;
    let meter = Meter::new(&args.admin_url).map_err(|error| Failure::Usage(error.to_string()))?;
    let mut bench =
        Bench { args, engine: Engine::new(graph, args.seed)?, meter, bar: progress_bar() };
    let told = bench.measure(&servers);
    bench.bar.finish_and_clear();
    bench.engine.leave()?;
    let (text, is_right) = told?;
    writeln!(io::stdout(), "{text}").map_err(|error| Failure::output(&error))?;
    if is_right { Ok(()) } else { Err(Failure::Told) }
}

fn write_follows(graph: &Graph, path: &Path) -> Result<(), Failure> {
    let written = if path == Path::new("-") {
        graph.write(&mut BufWriter::new(io::stdout().lock()))
    } else {
        File::create(path).and_then(|file| graph.write(&mut BufWriter::new(file)))
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::NobodyReads,
        _ => Failure::Failed(format!("--write-follows {}: {error}", path.display())),
    })
}

fn resolve(urls: &[String]) -> Result<Vec<Server>, Failure> {
    let server = |url: &String| {
        let target = Target::parse(url).map_err(|error| Failure::Usage(error.to_string()))?;
        Server::resolve(target).map_err(|error| Failure::Unavailable(error.to_string()))
    };
    urls.iter().map(server).collect()
}

fn check_open_files(users: u32) -> Result<(), Failure> {
    let needed = u64::from(users) + FILES_BESIDES;
    match limits::open_files() {
        Some(files) if files.soft < needed => Err(Failure::Usage(format!(
            "--users {users} needs {needed} open files and this process may open {}; raise the \
             limit with `ulimit -n {needed}` (without more rights up to {}), or let several \
             `rollcall bench` share the users",
            files.soft, files.hard
        ))),
        _ => Ok(()),
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}%");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Start(_) | EngineError::Io(_) => Self::Failed(error.to_string()),
            EngineError::Refused { .. } => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Engine(error) => error.into(),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<MeterError> for Failure {
    fn from(error: MeterError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

struct Bench<'a> {
    args: &'a BenchArgs,
    engine: Engine,
    meter: Meter,
    bar: ProgressBar,
}

impl Bench<'_> {
    /// The whole run; tells the results, and whether all was right.
    fn measure(&mut self, servers: &[Server]) -> Result<(String, bool), Failure> {
        let pace = match self.args.rate {
            Some(rate) => Pace::Open { rate },
            None => Pace::Closed { window: self.args.window },
        };
        let before = self.meter.read()?;
        let joining = self.join(servers)?;
        let all_here = pace::settle(&mut self.engine)?;
        let connected = self.meter.read()?;
        self.engine.begin();
        let start = clock::now();
        let mut lateness = Lateness::default();
        let mut sending = Duration::ZERO;
        if all_here {
            lateness = self.send(pace, start)?;
            sending = start.elapsed();
            pace::settle(&mut self.engine)?;
        }
        let measured = start.elapsed();
        let after = self.meter.read()?;
        self.engine.check.finish();
        let readings = [before, connected, after];
        Ok(self.tell(pace, [joining, sending, measured], readings, lateness))
    }

    fn join(&mut self, servers: &[Server]) -> Result<Duration, Failure> {
        let start = clock::now();
        self.bar.set_length(u64::from(self.args.users));
        self.bar.set_message("logging in");
        let bar = self.bar.clone();
        join::join_all(&mut self.engine, servers, |joined| bar.set_position(u64::from(joined)))?;
        Ok(start.elapsed())
    }

    fn send(&mut self, pace: Pace, start: Instant) -> Result<Lateness, Failure> {
        let bar = self.bar.clone();
        bar.set_length(self.args.duration.as_millis() as u64);
        let mut draw_at = start;
        let lateness = pace::run(&mut self.engine, pace, self.args.duration, |elapsed, engine| {
            let now = clock::now();
            if now < draw_at {
                return;
            }
            draw_at = now + DRAW_EVERY;
            let per_s = engine.counts.deliveries as f64 / elapsed.as_secs_f64().max(0.001);
            bar.set_position(elapsed.as_millis() as u64);
            bar.set_message(format!("{per_s:.0} deliveries/s"));
        })?;
        Ok(lateness)
    }

    fn tell(
        &self,
        pace: Pace,
        [joining, sending, measured]: [Duration; 3],
        [before, connected, after]: [Reading; 3],
        lateness: Lateness,
    ) -> (String, bool) {
        let differences = &self.engine.check.differences;
        let results = Results {
            users: self.args.users,
            follow: self.engine.check.graph().follow(),
            seed: self.args.seed,
            pace,
            sending,
            measured,
            joining,
            counts: self.engine.counts,
            lateness,
            latencies_us: self.engine.sends.histogram(),
            forgotten: self.engine.sends.forgotten(),
            before,
            connected,
            after,
            differences,
        };
        let text = if self.args.json { results.json() } else { results.table() };
        (text.trim_end().to_owned(), differences.is_empty())
    }
}
