//! What this process costs, as the kernel counts it: for the metrics.

use std::fmt::Write;

/// Ticks per second in `/proc/self/stat`: the kernel tells every program 100, whatever its own.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time, resident memory and open files, as text for Prometheus. What the kernel does not
/// tell is left out.
pub(crate) fn render() -> String {
    let mut text = String::new();
    if let Some(seconds) = cpu_seconds() {
        gauge(
            &mut text,
            "process_cpu_seconds_total",
            "counter",
            "CPU time, user and system",
            seconds,
        );
    }
    if let Some(bytes) = resident_bytes() {
        gauge(&mut text, "process_resident_memory_bytes", "gauge", "Resident memory", bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        let count = u32::try_from(files.count()).map_or(0.0, f64::from);
        gauge(&mut text, "process_open_fds", "gauge", "Open files and sockets", count);
    }
    text
}

fn gauge(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    // Writing to a text cannot fail.
    let _written = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time_memory_and_files() {
        let text = render();
        for name in
            ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"]
        {
            assert!(text.contains(&format!("\n{name} ")), "{text}");
        }
        assert!(resident_bytes().unwrap() > 100_000.0);
    }
}
