//! A running server, if there is one: whether it is healthy and ready, and its clock.

use super::{Finding, http_date};
use crate::http::{self, Answer};
use crate::{clock, limits};

const URL_DEFAULT: &str = "ws://127.0.0.1:8080/ws";
const ADMIN_URL_DEFAULT: &str = "http://127.0.0.1:8081";
/// A `Date` header has whole seconds, and is up to a second old.
const CLOCKS_DIFFER_SECS: u64 = 3;
/// Last seen and tokens are wrong by as much.
const CLOCKS_WRONG_SECS: u64 = 60;

/// What to look at.
pub(super) struct Ask<'a> {
    pub(super) url: Option<&'a str>,
    pub(super) admin_url: Option<&'a str>,
    /// A server holds the data folder, so one should answer.
    pub(super) is_running: bool,
}

/// Looks at both addresses.
pub(super) fn examine(ask: &Ask<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    public(ask, &mut findings);
    findings.push(admin(ask));
    findings
}

fn public(ask: &Ask<'_>, findings: &mut Vec<Finding>) {
    const SUBJECT: &str = "server";
    let url = ask.url.unwrap_or(URL_DEFAULT);
    let healthy = http::authority(url).and_then(|authority| {
        let healthy = http::get(&authority, "/healthz")?;
        Ok((authority, healthy))
    });
    let (authority, healthy) = match healthy {
        Ok(found) => found,
        Err(error) => {
            findings.push(silent(SUBJECT, ask.url.is_some(), ask.is_running, "--url", &error));
            return;
        }
    };
    findings.push(match healthy.status {
        200 => Finding::ok(SUBJECT, format!("{authority} is healthy")),
        status => Finding::problem(
            SUBJECT,
            format!("{authority}/healthz answers with HTTP status {status}; is it a Rollcall server? check --url"),
        ),
    });
    findings.push(match http::get(&authority, "/readyz") {
        Ok(Answer { status: 200, .. }) => Finding::ok(SUBJECT, format!("{authority} is ready")),
        Ok(Answer { status, body, .. }) => Finding::problem(
            SUBJECT,
            format!(
                "{authority} is not ready (HTTP status {status}): {}; see its log",
                said(&body)
            ),
        ),
        Err(error) => Finding::problem(SUBJECT, format!("{error}; see its log")),
    });
    if let Some(theirs) = healthy.header("date").and_then(http_date::parse) {
        let ours = i64::try_from(clock::since_epoch().as_secs()).unwrap_or(i64::MAX);
        findings.push(clocks(theirs.abs_diff(ours)));
    }
}

fn clocks(differ_secs: u64) -> Finding {
    const SUBJECT: &str = "clocks";
    let sentence = format!("the server's clock and this one differ by {differ_secs} s");
    match differ_secs {
        ..CLOCKS_DIFFER_SECS => Finding::ok(SUBJECT, "the server's clock agrees with this one"),
        CLOCKS_DIFFER_SECS..CLOCKS_WRONG_SECS => {
            Finding::warning(SUBJECT, format!("{sentence}; let NTP set both"))
        }
        _ => Finding::problem(SUBJECT, format!("{sentence}; let NTP set both")),
    }
}

fn admin(ask: &Ask<'_>) -> Finding {
    const SUBJECT: &str = "metrics";
    let url = ask.admin_url.unwrap_or(ADMIN_URL_DEFAULT);
    match http::authority(url).and_then(|authority| http::get(&authority, "/metrics")) {
        Ok(Answer { status: 200, body, .. }) => {
            let open = body.lines().find_map(|line| line.strip_prefix("process_open_fds "));
            let limit = limits::open_files().map(|files| files.soft);
            let open = open.and_then(|count| count.trim().parse::<f64>().ok());
            match (open, limit) {
                (Some(open), Some(limit)) if open > 0.9 * limit as f64 => Finding::warning(
                    SUBJECT,
                    format!("the server has {open} files open, near the limit; add a node"),
                ),
                _ => Finding::ok(SUBJECT, format!("{url}/metrics answers")),
            }
        }
        Ok(Answer { status, .. }) => Finding::problem(
            SUBJECT,
            format!("{url}/metrics answers with HTTP status {status}; check --admin-url"),
        ),
        // A server may well run without.
        Err(error) => silent(SUBJECT, ask.admin_url.is_some(), false, "--admin-url", &error),
    }
}

/// Nothing answers: a problem where an answer was to be expected.
fn silent(
    subject: &'static str,
    was_named: bool,
    is_running: bool,
    flag: &str,
    error: &http::HttpError,
) -> Finding {
    if was_named || is_running {
        return Finding::problem(subject, format!("{error}; check {flag}, and the server's log"));
    }
    Finding::ok(subject, format!("{error}, which is right if none runs; else name it with {flag}"))
}

/// The first line of a body, not too long.
fn said(body: &str) -> String {
    let line = body.lines().next().unwrap_or("it does not say why");
    line.chars().filter(|c| !presence::text::is_forbidden(*c)).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let levels = [0, 2, 3, 59, 60].map(|secs| clocks(secs).level);
        assert_eq!(levels, [Level::Ok, Level::Ok, Level::Warning, Level::Warning, Level::Problem]);
    }
}
