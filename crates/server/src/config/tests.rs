//! Configuration: what is read where, what wins, and that all that is wrong is said at once.

use std::collections::HashMap;
use std::io::Write;

use super::*;

fn dev() -> Settings {
    Settings { dev: Some("true".into()), ..Settings::default() }
}

fn read(settings: Settings, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env: HashMap<String, String> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let names: Vec<String> = env.keys().cloned().collect();
    Config::read_with(settings, &|name| env.get(name).cloned(), &names)
}

#[test]
fn what_is_not_set_is_as_the_contract_says() {
    let config = read(dev(), &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen.unwrap().to_string(), "127.0.0.1:8081");
    assert_eq!(config.directory, PathBuf::from("./rollcall-data/directory.sqlite"));
    assert_eq!(config.ping_interval, Duration::from_secs(30));
    assert_eq!(config.resume_window, Duration::from_secs(60));
    assert_eq!(config.watch.max, 2_000);
    assert_eq!(config.reports, Rate::per(Duration::from_secs(1), 1, 5));
    assert_eq!(config.requests, Rate::per(MINUTE, 120, 120));
    assert_eq!(config.handshakes, Rate::per(MINUTE, 600, 600));
}

#[test]
fn flags_win_over_environment_and_environment_over_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "shards = 3\nping-interval = \"20s\"\nresume-window = \"10s\"").unwrap();
    let settings = Settings {
        config: Some(file.path().display().to_string()),
        shards: Some("5".into()),
        ..dev()
    };
    let env = [("ROLLCALL_SHARDS", "4"), ("ROLLCALL_PING_INTERVAL", "25s")];
    let config = read(settings, &env).unwrap();
    assert_eq!(config.shards, 5);
    assert_eq!(config.ping_interval, Duration::from_secs(25));
    assert_eq!(config.resume_window, Duration::from_secs(10));
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_names_its_setting() {
    let settings = Settings {
        listen: Some("0.0.0.0:80".into()),
        shards: Some("0".into()),
        ping_interval: Some("often".into()),
        trusted_proxies: Some("10.0.0.0/99".into()),
        allowed_origins: Some("https://*".into()),
        store: Some("redis://localhost".into()),
        jwt_issuer: Some("x".into()),
        ..dev()
    };
    let ConfigError(problems) = read(settings, &[("ROLLCALL_LISTNE", "x")]).unwrap_err();
    for name in [
        "--dev",
        "--shards",
        "--ping-interval",
        "--trusted-proxies",
        "--allowed-origins",
        "--store",
        "--jwt-issuer",
        "ROLLCALL_LISTNE",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(name)), "{name} in {problems:#?}");
    }
    assert_eq!(problems.len(), 8, "{problems:#?}");
}

#[test]
fn a_file_with_an_unknown_key_or_a_mistake_is_refused() {
    for (text, said) in [("listne = \"x\"", "`listne`"), ("listen = ", "--config")] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{text}").unwrap();
        let settings = Settings { config: Some(file.path().display().to_string()), ..dev() };
        let ConfigError(problems) = read(settings, &[]).unwrap_err();
        assert!(problems[0].contains(said), "{problems:?}");
    }
}

#[test]
fn a_rate_of_zero_turns_the_limit_off_and_with_it_the_one_on_frames() {
    let settings = Settings { message_rate: Some("0".into()), ..dev() };
    let config = read(settings, &[]).unwrap();
    assert_eq!((config.requests.every, config.frames.every), (None, None));
}

#[test]
fn a_time_is_a_number_with_a_unit() {
    for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("0", 0)] {
        assert_eq!(parse_span(text), Some(Duration::from_millis(millis)));
    }
    for text in ["", "s", "-1s", "1.5s", "5 m", "10d", "99999999999999999999s"] {
        assert_eq!(parse_span(text), None, "{text}");
    }
}
