//! The configuration: read whole, checked whole, before anything binds.

mod settings;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use directory::WatchLimits;
use ipnet::IpNet;
use presence::rate::Rate;
pub use settings::Settings;

use crate::address::Origins;

/// Longest watch list that can be configured.
pub const WATCH_LIST_MAX_LIMIT: usize = 10_000;
/// Most shards.
pub const SHARDS_MAX: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);

/// A configuration that holds together.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where metrics are, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// The data folder.
    pub data: PathBuf,
    /// The file of the directory.
    pub directory: PathBuf,
    /// Whether anyone is let in by name.
    pub dev: bool,
    /// Number of shards.
    pub shards: u16,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// Time between two heartbeats; zero for none.
    pub heartbeat_interval: Duration,
    /// Time to come back.
    pub resume_window: Duration,
    /// Time over which clients are moved away at a stop; a node that is alone takes none.
    pub drain: Duration,
    /// Time between two writes of last seen.
    pub last_seen_interval: Duration,
    /// Limits of watch lists.
    pub watch: WatchLimits,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whose pages may connect.
    pub origins: Origins,
    /// Requests of a connection.
    pub requests: Rate,
    /// Frames of a connection.
    pub frames: Rate,
    /// Handshakes of an address.
    pub handshakes: Rate,
    /// Reports of a session.
    pub reports: Rate,
    /// How logs are written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: a JSON object per line.
    Json,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads flags, environment and file, in that order of strength.
    pub fn read(settings: Settings) -> Result<Self, ConfigError> {
        let names: Vec<String> =
            std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        Self::read_with(settings, &|name| std::env::var(name).ok(), &names)
    }

    fn read_with(
        mut settings: Settings,
        env: &dyn Fn(&str) -> Option<String>,
        env_names: &[String],
    ) -> Result<Self, ConfigError> {
        let problems = settings.fill(env, env_names);
        let mut check = Check { problems };
        check.later_settings(&settings);
        let listen = check.address("listen", settings.listen.as_deref(), "127.0.0.1:8080");
        let admin_listen = match settings.admin_listen.as_deref() {
            Some("none") => None,
            text => Some(check.address("admin-listen", text, "127.0.0.1:8081")),
        };
        let data = PathBuf::from(settings.data.as_deref().unwrap_or("./rollcall-data"));
        let dev = check.flag("dev", settings.dev.as_deref());
        if dev && !listen.ip().is_loopback() {
            check.problem(format!(
                "--dev lets anyone in by name, so it goes only with a loopback address, not with \
                 --listen {listen}"
            ));
        }
        if !dev {
            check.problem("no way to log in: this version knows --dev only".into());
        }
        let [requests, frames, handshakes, reports] = check.rates(&settings);
        let config = Self {
            listen,
            admin_listen,
            directory: check.directory(settings.directory.as_deref(), &data),
            data,
            dev,
            shards: check.shards(settings.shards.as_deref()),
            ping_interval: check.span(
                "ping-interval",
                settings.ping_interval.as_deref(),
                30,
                1,
                300,
            ),
            heartbeat_interval: check.heartbeat(settings.heartbeat_interval.as_deref()),
            resume_window: check.span(
                "resume-window",
                settings.resume_window.as_deref(),
                60,
                1,
                300,
            ),
            drain: check.span("drain", settings.drain.as_deref(), 30, 0, 600),
            last_seen_interval: check.span(
                "last-seen-interval",
                settings.last_seen_interval.as_deref(),
                300,
                1,
                600,
            ),
            watch: WatchLimits {
                max: check.watch_list_max(settings.watch_list_max.as_deref()),
                followers: check.flag("watch-followers", settings.watch_followers.as_deref()),
            },
            trusted_proxies: check.networks(settings.trusted_proxies.as_deref()),
            origins: check.origins(settings.allowed_origins.as_deref(), dev),
            requests,
            frames,
            handshakes,
            reports,
            log_format: check.log_format(settings.log_format.as_deref()),
            log: check.log(settings.log),
        };
        if check.problems.is_empty() { Ok(config) } else { Err(ConfigError(check.problems)) }
    }
}

/// Frames of any kind that a connection may send in a second.
const FRAMES_PER_SECOND: u32 = 50;
/// Reports that may come at once, in seconds of their rate.
const REPORT_BURST_SECONDS: u32 = 5;

/// Turns texts into values, and remembers what is wrong with each.
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Settings of parts that this version does not have: saying nothing would promise them.
    fn later_settings(&mut self, settings: &Settings) {
        let absent = [
            ("github-api", &settings.github_api),
            ("github-url", &settings.github_url),
            ("github-client-id", &settings.github_client_id),
            ("github-client-secret", &settings.github_client_secret),
            ("github-require-app", &settings.github_require_app),
            ("jwt-issuer", &settings.jwt_issuer),
            ("redis-prefix", &settings.redis_prefix),
        ];
        for (key, value) in absent {
            if value.is_some() {
                self.problem(format!("--{key}: not in this version yet; leave it out"));
            }
        }
        if let Some(store) = settings.store.as_deref()
            && store != "embedded"
        {
            self.problem(format!("--store {store}: this version has only `embedded`"));
        }
    }

    fn address(&mut self, key: &str, text: Option<&str>, default: &str) -> SocketAddr {
        let text = text.unwrap_or(default);
        let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
        found.unwrap_or_else(|| {
            self.problem(format!(
                "--{key} {text}: an address is HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"
            ));
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn directory(&mut self, text: Option<&str>, data: &std::path::Path) -> PathBuf {
        match text {
            None => data.join("directory.sqlite"),
            Some(url) => match url.strip_prefix("sqlite://") {
                Some(file) if !file.is_empty() => PathBuf::from(file),
                _ => {
                    self.problem(format!("--directory {url}: this version has `sqlite://FILE`"));
                    PathBuf::new()
                }
            },
        }
    }

    fn flag(&mut self, key: &str, text: Option<&str>) -> bool {
        match text {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                self.problem(format!("--{key} {other}: true or false"));
                false
            }
        }
    }

    fn number(&mut self, key: &str, text: Option<&str>, default: u32) -> u32 {
        let Some(text) = text else { return default };
        text.parse().unwrap_or_else(|_| {
            self.problem(format!("--{key} {text}: a whole number, 0 for no limit"));
            default
        })
    }

    /// Rates of requests, frames, handshakes and reports.
    fn rates(&mut self, settings: &Settings) -> [Rate; 4] {
        let second = Duration::from_secs(1);
        let requests = self.number("message-rate", settings.message_rate.as_deref(), 120);
        let handshakes = self.number("handshake-rate", settings.handshake_rate.as_deref(), 600);
        let reports = self.number("report-rate", settings.report_rate.as_deref(), 1);
        let frames = match requests {
            0 => Rate::UNLIMITED,
            _ => Rate::per(second, FRAMES_PER_SECOND, FRAMES_PER_SECOND),
        };
        [
            Rate::per(MINUTE, requests, requests),
            frames,
            Rate::per(MINUTE, handshakes, handshakes),
            Rate::per(second, reports, reports.saturating_mul(REPORT_BURST_SECONDS)),
        ]
    }

    fn shards(&mut self, text: Option<&str>) -> u16 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(SHARDS_MAX);
        let wanted = text.map_or(Some(cores), |text| text.parse().ok());
        let wanted = wanted.filter(|n| (1..=SHARDS_MAX).contains(n)).unwrap_or_else(|| {
            let text = text.unwrap_or_default();
            self.problem(format!("--shards {text}: a whole number from 1 to {SHARDS_MAX}"));
            1
        });
        u16::try_from(wanted).unwrap_or(1)
    }

    fn watch_list_max(&mut self, text: Option<&str>) -> usize {
        let Some(text) = text else { return 2_000 };
        let wanted = text.parse().ok().filter(|n| (1..=WATCH_LIST_MAX_LIMIT).contains(n));
        wanted.unwrap_or_else(|| {
            self.problem(format!(
                "--watch-list-max {text}: a whole number from 1 to {WATCH_LIST_MAX_LIMIT}"
            ));
            1
        })
    }

    fn span(
        &mut self,
        key: &str,
        text: Option<&str>,
        default_secs: u64,
        min_secs: u64,
        max_secs: u64,
    ) -> Duration {
        let Some(text) = text else { return Duration::from_secs(default_secs) };
        let (min, max) = (Duration::from_secs(min_secs), Duration::from_secs(max_secs));
        let wanted = parse_span(text).filter(|span| (min..=max).contains(span));
        wanted.unwrap_or_else(|| {
            self.problem(format!(
                "--{key} {text}: a time such as 500ms, 30s or 5m, from {min_secs}s to {max_secs}s"
            ));
            max
        })
    }

    fn heartbeat(&mut self, text: Option<&str>) -> Duration {
        let span = self.span("heartbeat-interval", text, 10, 0, 300);
        if span.subsec_nanos() != 0 {
            self.problem(
                "--heartbeat-interval: whole seconds, for clients are told in seconds".into(),
            );
        }
        span
    }

    fn networks(&mut self, text: Option<&str>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for item in items(text) {
            let single = || item.parse::<std::net::IpAddr>().map(IpNet::from).ok();
            match item.parse().ok().or_else(single) {
                Some(network) => networks.push(network),
                None => self.problem(format!(
                    "--trusted-proxies {item}: an address or a network, such as 10.0.0.0/8"
                )),
            }
        }
        networks
    }

    fn origins(&mut self, text: Option<&str>, dev: bool) -> Origins {
        let mut listed = Vec::new();
        for item in items(text) {
            let rest = item.strip_prefix("https://").or_else(|| item.strip_prefix("http://"));
            if rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' '])) {
                listed.push(item.to_ascii_lowercase());
            } else {
                self.problem(format!(
                    "--allowed-origins {item}: an origin is a scheme, a host and perhaps a port, \
                     such as https://example.org, without a path or a `*`"
                ));
            }
        }
        match (text, dev) {
            (Some(_), _) => Origins::Listed(listed),
            (None, true) => Origins::Loopback,
            (None, false) => Origins::Same,
        }
    }

    fn log(&mut self, text: Option<String>) -> String {
        let filter = text.unwrap_or_else(|| "info".into());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
            self.problem(format!("--log {filter}: {error}"));
        }
        filter
    }

    fn log_format(&mut self, text: Option<&str>) -> LogFormat {
        match text {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                self.problem(format!("--log-format {other}: text or json"));
                LogFormat::Text
            }
        }
    }
}

fn items(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Reads `500ms`, `30s`, `5m`, `1h`, or seconds without a unit.
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3_600)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
