//! What the system lets this process do, read from `/proc`.

/// How many files this process may open at once: the limit in force and the highest it could set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    /// In force.
    pub(crate) soft: u64,
    /// The highest that may be set without more rights.
    pub(crate) hard: u64,
}

/// The limit of open files, if `/proc` tells it.
pub(crate) fn open_files() -> Option<OpenFiles> {
    parse_open_files(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn parse_open_files(text: &str) -> Option<OpenFiles> {
    let line = text.lines().find(|line| line.starts_with("Max open files"))?;
    let number = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
    let mut words = line["Max open files".len()..].split_whitespace();
    Some(OpenFiles { soft: number(words.next()?)?, hard: number(words.next()?)? })
}

/// Memory of the machine that programs can still have, and all of it, in bytes.
pub(crate) fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line[name.len()..].split_whitespace().next()?.parse().ok()
    };
    Some((kib("MemAvailable:")? * 1024, kib("MemTotal:")? * 1024))
}

/// CPU time of this process so far, user and system, in seconds.
pub(crate) fn own_cpu_secs() -> Option<f64> {
    /// `/proc` counts in ticks of USER_HZ, which is 100 on every Linux of today (proc(5)).
    const TICKS_PER_SEC: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let text = "Limit  Soft Limit Hard Limit Units\nMax open files            1024    unlimited            files\n";
        assert_eq!(parse_open_files(text), Some(OpenFiles { soft: 1024, hard: u64::MAX }));
        assert_eq!(parse_open_files("nothing"), None);
    }

    #[test]
    fn this_process_has_limits_memory_and_used_some_cpu() {
        assert!(open_files().unwrap().soft > 0);
        let (available, total) = memory().unwrap();
        assert!(available <= total);
        assert!(own_cpu_secs().unwrap() >= 0.0);
    }
}
