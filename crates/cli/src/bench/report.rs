//! What a load test found, as a table for people or as JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use super::differences::Differences;
use super::engine::Counts;
use super::meter::Reading;
use super::pace::{Lateness, Pace};

/// Everything that one run measured.
pub(crate) struct Results<'a> {
    pub(crate) users: u32,
    pub(crate) follow: usize,
    pub(crate) seed: u64,
    pub(crate) pace: Pace,
    /// How long reports were sent.
    pub(crate) sending: Duration,
    /// And until the last delivery.
    pub(crate) measured: Duration,
    pub(crate) joining: Duration,
    pub(crate) counts: Counts,
    pub(crate) lateness: Lateness,
    pub(crate) latencies_us: &'a Histogram<u64>,
    /// Deliveries too old to be measured.
    pub(crate) forgotten: u64,
    pub(crate) before: Reading,
    pub(crate) connected: Reading,
    pub(crate) after: Reading,
    pub(crate) differences: &'a Differences,
}

impl Results<'_> {
    fn per_second(&self, count: u64, span: Duration) -> f64 {
        if span.is_zero() { 0.0 } else { count as f64 / span.as_secs_f64() }
    }

    fn per_delivery(&self, amount: f64) -> Option<f64> {
        (self.counts.deliveries > 0).then(|| amount / self.counts.deliveries as f64)
    }

    /// CPU-seconds of the servers per million deliveries.
    fn server_cpu(&self) -> Option<f64> {
        let used = self.after.server_cpu_secs? - self.connected.server_cpu_secs?;
        self.per_delivery(used * 1e6)
    }

    fn own_cpu(&self) -> Option<f64> {
        self.per_delivery((self.after.own_cpu_secs - self.connected.own_cpu_secs) * 1e6)
    }

    fn bytes_per_session(&self, then: Reading) -> Option<f64> {
        Some((then.server_bytes? - self.before.server_bytes?) / f64::from(self.users))
    }

    fn latency_ms(&self, quantile: f64) -> Option<f64> {
        let measured = !self.latencies_us.is_empty();
        measured.then(|| self.latencies_us.value_at_quantile(quantile) as f64 / 1e3)
    }

    /// One object, its figures by names with their units last.
    pub(crate) fn json(&self) -> String {
        let (rate, window) = match self.pace {
            Pace::Open { rate } => (Some(rate), None),
            Pace::Closed { window } => (None, Some(window)),
        };
        let differences: Vec<_> = self
            .differences
            .iter()
            .map(|(kind, found)| {
                json!({"kind": kind.name(), "count": found.count, "examples": found.examples})
            })
            .collect();
        json!({
            "users": self.users,
            "follow": self.follow,
            "seed": self.seed,
            "codec": "json",
            "rate_per_s": rate,
            "window": window,
            "sending_s": self.sending.as_secs_f64(),
            "measured_s": self.measured.as_secs_f64(),
            "reports": self.counts.reports,
            "reports_per_s": self.per_second(self.counts.reports, self.sending),
            "deliveries": self.counts.deliveries,
            "deliveries_per_s": self.per_second(self.counts.deliveries, self.measured),
            "echoes": self.counts.echoes,
            "values_measured": self.latencies_us.len(),
            "values_too_old_to_measure": self.forgotten,
            "latency_p50_ms": self.latency_ms(0.5),
            "latency_p99_ms": self.latency_ms(0.99),
            "latency_p999_ms": self.latency_ms(0.999),
            "latency_max_ms": self.latency_ms(1.0),
            "late_reports": self.lateness.reports,
            "late_max_ms": self.lateness.max.as_secs_f64() * 1e3,
            "bytes_per_patch": self.per_delivery(self.counts.delivered_bytes as f64),
            "server_cpu_s_per_million": self.server_cpu(),
            "generator_cpu_s_per_million": self.own_cpu(),
            "server_bytes_before": self.before.server_bytes,
            "server_bytes_connected": self.connected.server_bytes,
            "server_bytes_after": self.after.server_bytes,
            "session_bytes_connected": self.bytes_per_session(self.connected),
            "session_bytes_after": self.bytes_per_session(self.after),
            "joining_s": self.joining.as_secs_f64(),
            "logins_per_s": self.per_second(u64::from(self.users), self.joining),
            "differences": differences,
        })
        .to_string()
    }

    /// Lines for a person.
    pub(crate) fn table(&self) -> String {
        let pace = match self.pace {
            Pace::Open { rate } => format!("{rate} reports/s"),
            Pace::Closed { window } => format!("{window} reports outstanding"),
        };
        let (users, follow, secs) = (self.users, self.follow, self.sending.as_secs_f64());
        let mut out = format!("{users} users, {follow} watched by each, {pace}, {secs:.1} s\n");
        // Writing to a String cannot fail.
        for (name, value) in self.rows() {
            let _ = writeln!(out, "  {name:<40} {value}");
        }
        if self.differences.is_empty() {
            let _ = writeln!(out, "  every pair checked: no difference");
        }
        for (kind, found) in self.differences.iter() {
            let _ = writeln!(out, "  WRONG {:<34} {}", kind.name(), found.count);
            for example in &found.examples {
                let _ = writeln!(out, "    {example}");
            }
        }
        out
    }

    fn rows(&self) -> [(&'static str, String); 11] {
        let counted =
            |count: u64, span: Duration| format!("{count}, {:.0}/s", self.per_second(count, span));
        let latencies = [0.5, 0.99, 0.999, 1.0].map(|at| number(self.latency_ms(at), 2));
        let memory = [self.connected, self.after].map(|at| number(self.bytes_per_session(at), 0));
        let late_ms = self.lateness.max.as_secs_f64() * 1e3;
        let bytes = self.per_delivery(self.counts.delivered_bytes as f64);
        let joining_s = self.joining.as_secs_f64();
        let logins = counted(u64::from(self.users), self.joining);
        [
            ("logins", format!("{logins}, {joining_s:.2} s")),
            ("reports", counted(self.counts.reports, self.sending)),
            ("deliveries", counted(self.counts.deliveries, self.measured)),
            ("own echoes", self.counts.echoes.to_string()),
            ("latency p50, p99, p99.9, max", format!("{} ms", latencies.join(", "))),
            ("values too old to measure", self.forgotten.to_string()),
            ("reports sent late", format!("{}, at most {late_ms:.1} ms", self.lateness.reports)),
            ("bytes per patch", number(bytes, 1)),
            ("server CPU per million deliveries", format!("{} s", number(self.server_cpu(), 3))),
            ("generator CPU per million", format!("{} s", number(self.own_cpu(), 3))),
            ("memory per session, idle, after", format!("{} bytes", memory.join(", "))),
        ]
    }
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::differences::Kind;

    #[test]
    fn results_without_a_server_to_measure_leave_its_figures_out() {
        let mut latencies_us = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        latencies_us.record(1_500).unwrap();
        let mut differences = Differences::default();
        differences.note(Kind::Lost, || "one".into());
        let results = Results {
            users: 10,
            follow: 2,
            seed: 1,
            pace: Pace::Open { rate: 5.0 },
            sending: Duration::from_secs(2),
            measured: Duration::from_secs(2),
            joining: Duration::from_secs(1),
            counts: Counts { reports: 10, deliveries: 20, delivered_bytes: 800, echoes: 10 },
            lateness: Lateness::default(),
            latencies_us: &latencies_us,
            forgotten: 0,
            before: Reading::default(),
            connected: Reading::default(),
            after: Reading::default(),
            differences: &differences,
        };
        let json: serde_json::Value = serde_json::from_str(&results.json()).unwrap();
        assert_eq!(json["bytes_per_patch"], 40.0);
        assert_eq!(json["deliveries_per_s"], 10.0);
        assert!(json["server_cpu_s_per_million"].is_null());
        assert_eq!(json["differences"][0]["kind"], "lost");
        assert!(json["latency_p99_ms"].as_f64().unwrap() >= 1.5);
        let table = results.table();
        assert!(table.contains("WRONG lost") && table.contains("–"), "{table}");
    }
}
