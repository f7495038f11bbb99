//! Every setting of the server as a flag, an environment variable and a key of a TOML file.
//!
//! This module only gathers texts, in that order of strength; what they mean is decided in
//! [`super::Config`], so that everything wrong is reported at once.

use std::path::Path;

/// Prefix of the environment variables.
const ENV_PREFIX: &str = "ROLLCALL_";
/// Variables with the prefix that are no settings of the server.
const OTHER_ENV: [&str; 3] = ["ROLLCALL_TOKEN", "ROLLCALL_SEEDS", "ROLLCALL_CONFIG"];
/// Settings that may stand in a file of their own: `…_FILE`.
const SECRETS: [&str; 1] = ["github-client-secret"];

macro_rules! settings {
    ($($(#[doc = $help:literal])+ $field:ident = $key:literal, $value:literal;)+) => {
        /// The settings of `rollcall serve`, as texts.
        // The help texts are also read in a terminal, where a link would be noise.
        #[allow(rustdoc::bare_urls)]
        #[derive(Debug, Clone, Default, clap::Args)]
        pub struct Settings {
            /// Read settings from this TOML file; flags and environment win over it
            #[arg(long, value_name = "FILE")]
            pub config: Option<String>,
            $($(#[doc = $help])+
            #[arg(long = $key, value_name = $value)]
            pub $field: Option<String>,)+
            /// Let anyone in by name, as `dev_NAME`; only on a loopback address
            #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
            pub dev: Option<String>,
            /// Put who follows a user on that user's watch list too
            #[arg(long = "watch-followers", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
            pub watch_followers: Option<String>,
            /// Accept only GitHub tokens issued to the configured app
            #[arg(long = "github-require-app", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
            pub github_require_app: Option<String>,
        }

        impl Settings {
            /// Each setting with its key.
            fn entries(&mut self) -> Vec<(&'static str, &mut Option<String>)> {
                vec![
                    $(($key, &mut self.$field),)+
                    ("dev", &mut self.dev),
                    ("watch-followers", &mut self.watch_followers),
                    ("github-require-app", &mut self.github_require_app),
                ]
            }
        }
    };
}

settings! {
    /// Address for clients [default: 127.0.0.1:8080]
    listen = "listen", "ADDRESS";
    /// Address for metrics, or `none` [default: 127.0.0.1:8081]
    admin_listen = "admin-listen", "ADDRESS";
    /// Folder of the embedded store and of SQLite [default: ./rollcall-data]
    data = "data", "DIR";
    /// Where presence lives: `embedded` [default: embedded]
    store = "store", "STORE";
    /// Who people are: `sqlite://FILE` [default: directory.sqlite in --data]
    directory = "directory", "URL";
    /// Base URL of the GitHub API [default: https://api.github.com]
    github_api = "github-api", "URL";
    /// Base URL of GitHub's pages [default: https://github.com]
    github_url = "github-url", "URL";
    /// OAuth app of the sign-in on the page
    github_client_id = "github-client-id", "ID";
    /// Its secret; better in ROLLCALL_GITHUB_CLIENT_SECRET_FILE
    github_client_secret = "github-client-secret", "SECRET";
    /// Issuer of tokens for an app with users of its own
    jwt_issuer = "jwt-issuer", "ISSUER";
    /// Event loops, each a thread with its own sockets [default: cores]
    shards = "shards", "N";
    /// Time between two pings [default: 30s]
    ping_interval = "ping-interval", "DURATION";
    /// Time between two heartbeats of a client, 0 for none [default: 10s]
    heartbeat_interval = "heartbeat-interval", "DURATION";
    /// Time for a dropped session to come back [default: 60s]
    resume_window = "resume-window", "DURATION";
    /// Time over which clients are moved away at a stop [default: 30s]
    drain = "drain", "DURATION";
    /// Time between two writes of last seen [default: 5m]
    last_seen_interval = "last-seen-interval", "DURATION";
    /// Longest watch list [default: 2000]
    watch_list_max = "watch-list-max", "N";
    /// First word of each Redis key [default: rollcall]
    redis_prefix = "redis-prefix", "WORD";
    /// Networks whose X-Forwarded-For is believed
    trusted_proxies = "trusted-proxies", "CIDR,…";
    /// Origins whose pages may connect [default: the same origin]
    allowed_origins = "allowed-origins", "ORIGIN,…";
    /// Requests of a connection per minute, 0 for no limit [default: 120]
    message_rate = "message-rate", "N";
    /// Handshakes of an address per minute, 0 for no limit [default: 600]
    handshake_rate = "handshake-rate", "N";
    /// Reports of a session per second before they are merged, 0 for no limit [default: 1]
    report_rate = "report-rate", "N";
    /// How logs are written: `text` or `json` [default: text]
    log_format = "log-format", "FORMAT";
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,store=debug`
    /// [default: info]
    log = "log", "FILTER";
}

impl Settings {
    /// Fills what the flags leave open from the environment, then from the file. Gives all that
    /// is wrong.
    pub(super) fn fill(
        &mut self,
        env: &dyn Fn(&str) -> Option<String>,
        env_names: &[String],
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let file = self.config.clone().or_else(|| env("ROLLCALL_CONFIG"));
        let mut known = Vec::new();
        for (key, value) in self.entries() {
            let name = env_name(key);
            if value.is_none() {
                *value = env(&name);
            }
            if SECRETS.contains(&key) {
                let in_file = format!("{name}_FILE");
                if let Some(path) = env(&in_file)
                    && value.is_none()
                {
                    match std::fs::read_to_string(&path) {
                        Ok(secret) => *value = Some(secret.trim_end().to_owned()),
                        Err(error) => problems.push(format!("{in_file}: {path}: {error}")),
                    }
                }
                known.push(in_file);
            }
            known.push(name);
        }
        for name in env_names.iter().filter(|name| name.starts_with(ENV_PREFIX)) {
            if !known.contains(name) && !OTHER_ENV.contains(&name.as_str()) {
                problems.push(format!("{name}: no setting has that name"));
            }
        }
        if let Some(path) = file {
            self.fill_from_file(Path::new(&path), &mut problems);
        }
        problems
    }

    fn fill_from_file(&mut self, path: &Path, problems: &mut Vec<String>) {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(format!("--config {shown}: {error}"));
                return;
            }
        };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                problems.push(format!("--config {shown}: {error}"));
                return;
            }
        };
        let mut entries = self.entries();
        for (key, value) in table {
            let Some((_, held)) = entries.iter_mut().find(|(name, _)| *name == key) else {
                problems.push(format!("--config {shown}: no setting is named `{key}`"));
                continue;
            };
            match as_text(&value) {
                Some(text) if held.is_none() => **held = Some(text),
                Some(_) => {}
                None => problems.push(format!(
                    "--config {shown}: `{key}` is a text, a number, true or false, or a list of texts"
                )),
            }
        }
    }
}

fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"))
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}
