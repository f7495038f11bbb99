//! What the servers and this program have used: CPU from each `/metrics`, and memory.

use crate::http::{self, HttpError};
use crate::limits;

/// Why a server's figures cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeterError {
    /// It does not answer.
    #[error("the metrics cannot be read: {0}; check --admin-url and the server's --admin-listen")]
    Http(#[from] HttpError),
    /// It answers something else.
    #[error(
        "{authority}/metrics answers with HTTP status {status}; check --admin-url, which names the \
         server's --admin-listen"
    )]
    Status {
        /// Host and port.
        authority: String,
        /// HTTP status.
        status: u16,
    },
    /// The figure is not there.
    #[error("{authority}/metrics has no `{name}`; is it a Rollcall server?")]
    Missing {
        /// Host and port.
        authority: String,
        /// The metric.
        name: &'static str,
    },
}

/// Reads all servers of a run.
#[derive(Debug)]
pub(crate) struct Meter {
    authorities: Vec<String>,
}

/// One reading, over all servers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Reading {
    /// CPU time of the servers, in seconds; nothing without `--admin-url`.
    pub(crate) server_cpu_secs: Option<f64>,
    /// Resident memory of the servers, in bytes; nothing without `--admin-url`.
    pub(crate) server_bytes: Option<f64>,
    /// CPU time of this program, in seconds.
    pub(crate) own_cpu_secs: f64,
}

impl Meter {
    /// For those `--admin-url`s.
    pub(crate) fn new(admin_urls: &[String]) -> Result<Self, MeterError> {
        let authorities =
            admin_urls.iter().map(|url| http::authority(url)).collect::<Result<_, _>>();
        Ok(Self { authorities: authorities? })
    }

    /// Reads all of them, one after the other.
    pub(crate) fn read(&self) -> Result<Reading, MeterError> {
        let own_cpu_secs = limits::own_cpu_secs().unwrap_or_default();
        if self.authorities.is_empty() {
            return Ok(Reading { own_cpu_secs, ..Reading::default() });
        }
        let (mut cpu, mut bytes) = (0.0, 0.0);
        for authority in &self.authorities {
            let answer = http::get(authority, "/metrics")?;
            if answer.status != 200 {
                let authority = authority.clone();
                return Err(MeterError::Status { authority, status: answer.status });
            }
            let value = |name: &'static str| {
                let missing = || MeterError::Missing { authority: authority.clone(), name };
                metric(&answer.body, name).ok_or_else(missing)
            };
            cpu += value("process_cpu_seconds_total")?;
            bytes += value("process_resident_memory_bytes")?;
        }
        Ok(Reading { server_cpu_secs: Some(cpu), server_bytes: Some(bytes), own_cpu_secs })
    }
}

/// The value of a metric without labels, in Prometheus's text format.
fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text =
            "# HELP process_cpu x\nprocess_cpu_seconds 1\nprocess_cpu_seconds_total 2.5 17\n";
        assert_eq!(metric(text, "process_cpu_seconds_total"), Some(2.5));
        assert_eq!(metric(text, "process_cpu"), None);
    }
}
