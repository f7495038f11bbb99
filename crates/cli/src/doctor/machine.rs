//! What the machine gives: open files, memory, the time.

use super::Finding;
use crate::limits::OpenFiles;
use crate::{clock, limits};

/// Fewer open files than this are no server.
const FILES_MIN: u64 = 256;
/// Fewer are a small one: each session is an open file.
const FILES_GOOD: u64 = 10_000;
/// With less memory a server does not start well.
const MEMORY_MIN: u64 = 64 << 20;
/// With less it is soon at its end.
const MEMORY_GOOD: u64 = 512 << 20;
/// 2026-01-01 in Unix seconds: before it this program did not exist.
const FIRST_RELEASE_SECS: u64 = 1_767_225_600;

/// Looks at all three.
pub(super) fn examine() -> Vec<Finding> {
    vec![
        open_files(limits::open_files()),
        memory(limits::memory()),
        time(clock::since_epoch().as_secs()),
    ]
}

fn open_files(files: Option<OpenFiles>) -> Finding {
    const SUBJECT: &str = "open files";
    let Some(OpenFiles { soft, hard }) = files else {
        return Finding::warning(SUBJECT, "the limit is not known; is /proc mounted?");
    };
    let raise = "raise it with `ulimit -n`, or LimitNOFILE= in the systemd unit";
    match soft {
        soft if soft < FILES_MIN => Finding::problem(
            SUBJECT,
            format!("this process may open only {soft} files, and each session is one; {raise}"),
        ),
        soft if soft < FILES_GOOD => Finding::warning(
            SUBJECT,
            format!("{soft}, so a node holds fewer sessions than that; {raise} (up to {hard})"),
        ),
        u64::MAX => Finding::ok(SUBJECT, "no limit"),
        soft => Finding::ok(SUBJECT, format!("up to {soft}")),
    }
}

fn memory(memory: Option<(u64, u64)>) -> Finding {
    const SUBJECT: &str = "memory";
    let Some((available, total)) = memory else {
        return Finding::warning(SUBJECT, "not known; is /proc mounted?");
    };
    let sentence = format!("{} MiB of {} MiB are available", available >> 20, total >> 20);
    match available {
        ..MEMORY_MIN => Finding::problem(SUBJECT, format!("{sentence}; end other programs")),
        MEMORY_MIN..MEMORY_GOOD => Finding::warning(
            SUBJECT,
            format!("{sentence}; 18,000 sessions that watch 50 users each need about 50 MiB"),
        ),
        _ => Finding::ok(SUBJECT, sentence),
    }
}

fn time(secs: u64) -> Finding {
    const SUBJECT: &str = "time";
    if secs < FIRST_RELEASE_SECS {
        let sentence = "the clock stands before 2026; set it, or let NTP do so (`timedatectl`): \
                        last seen and tokens depend on it";
        return Finding::problem(SUBJECT, sentence);
    }
    Finding::ok(SUBJECT, "the clock is plausible")
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn each_limit_has_its_level() {
        let files = |soft| open_files(Some(OpenFiles { soft, hard: soft })).level;
        assert_eq!([files(100), files(1024)], [Level::Problem, Level::Warning]);
        assert_eq!([files(20_000), files(u64::MAX)], [Level::Ok, Level::Ok]);
        assert_eq!(open_files(None).level, Level::Warning);
        let memory = |available| memory(Some((available, 1 << 40))).level;
        assert_eq!(
            [memory(1 << 20), memory(100 << 20), memory(1 << 32)],
            [Level::Problem, Level::Warning, Level::Ok]
        );
        assert_eq!([time(0).level, time(1_800_000_000).level], [Level::Problem, Level::Ok]);
    }
}
