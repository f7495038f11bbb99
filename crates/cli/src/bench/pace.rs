//! When reports are sent: at a fixed rate whatever comes back, or so many outstanding at a time.

use std::time::{Duration, Instant};

use super::engine::{Engine, EngineError};
use crate::clock;

/// Reports that are sent between two looks at the sockets.
const BURST_MAX: usize = 128;
/// A report that is sent so long after it was due counts as late.
const LATE_AFTER: Duration = Duration::from_millis(1);
/// Longest wait for sockets: pings and heartbeats are due too.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Where less time is left, the loop turns without waiting: a wait is rounded up to whole
/// milliseconds, and would make the report late.
const SPIN_BELOW: Duration = Duration::from_millis(2);
/// With no good arrival for so long, what has not arrived counts as lost.
const QUIET_AFTER: Duration = Duration::from_secs(10);
/// How often pairs are compared while waiting for the last ones.
const COMPARE_EVERY: Duration = Duration::from_millis(20);

/// How reports are paced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// So many per second over all users, at fixed times, never skipped.
    Open {
        /// Reports per second.
        rate: f64,
    },
    /// So many outstanding, each until its last watcher has it or a newer one.
    Closed {
        /// Reports.
        window: usize,
    },
}

/// How far the generator lagged behind its own schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lateness {
    /// Reports sent later than [`LATE_AFTER`].
    pub(crate) reports: u64,
    /// The latest of them.
    pub(crate) max: Duration,
}

/// Sends reports for that long.
pub(crate) fn run(
    engine: &mut Engine,
    pace: Pace,
    duration: Duration,
    mut progress: impl FnMut(Duration, &Engine),
) -> Result<Lateness, EngineError> {
    let order = engine.check.graph().order().to_vec();
    let mut schedule = Schedule { pace, duration, start: clock::now(), sent: 0 };
    let mut lateness = Lateness::default();
    let start_us = engine.now_us();
    while !schedule.is_over() {
        let mut burst = 0;
        while burst < BURST_MAX && schedule.is_due(engine) {
            let due_us = match schedule.due() {
                None => engine.now_us(),
                Some(due) => {
                    let late = schedule.start.elapsed().saturating_sub(due);
                    if late > LATE_AFTER {
                        lateness.reports += 1;
                        lateness.max = lateness.max.max(late);
                    }
                    start_us.wrapping_add(due.as_micros() as u32)
                }
            };
            let turn = (schedule.sent % order.len() as u64) as usize;
            engine.report(order[turn], due_us);
            schedule.sent += 1;
            burst += 1;
        }
        let wait = schedule.wait(engine);
        engine.turn(wait)?;
        progress(schedule.start.elapsed().min(duration), engine);
    }
    Ok(lateness)
}

/// When which report is due.
struct Schedule {
    pace: Pace,
    duration: Duration,
    start: Instant,
    sent: u64,
}

impl Schedule {
    /// When the next report is due, since the start; nothing where the answers decide.
    fn due(&self) -> Option<Duration> {
        match self.pace {
            Pace::Open { rate } => Some(Duration::from_secs_f64(self.sent as f64 / rate)),
            Pace::Closed { .. } => None,
        }
    }

    fn is_over(&self) -> bool {
        self.due().unwrap_or_else(|| self.start.elapsed()) >= self.duration
    }

    fn is_due(&self, engine: &Engine) -> bool {
        match self.pace {
            Pace::Open { .. } => {
                !self.is_over() && self.due().is_some_and(|due| due <= self.start.elapsed())
            }
            Pace::Closed { window } => engine.sends.outstanding() < window,
        }
    }

    /// How long the sockets may be waited for.
    fn wait(&self, engine: &Engine) -> Duration {
        match self.due() {
            _ if self.is_due(engine) => Duration::ZERO,
            None => WAIT_MAX,
            Some(due) => {
                let left = due.saturating_sub(self.start.elapsed());
                if left < SPIN_BELOW {
                    Duration::ZERO
                } else {
                    (left - SPIN_BELOW / 2).min(WAIT_MAX)
                }
            }
        }
    }
}

/// Waits until every pair holds what was last sent, or nothing good has come for 10 s; tells
/// whether they all do.
pub(crate) fn settle(engine: &mut Engine) -> Result<bool, EngineError> {
    let arrivals = |engine: &Engine| engine.counts.deliveries + engine.counts.echoes;
    let mut last = arrivals(engine);
    let mut moved = clock::now();
    let mut compare_at = moved;
    loop {
        engine.turn(COMPARE_EVERY)?;
        let now = clock::now();
        if now >= compare_at {
            if engine.check.behind() == 0 {
                return Ok(true);
            }
            // Comparing millions of pairs takes a while: not more than a tenth of the time.
            let took = now.elapsed();
            compare_at = now + COMPARE_EVERY.max(took * 10);
        }
        if arrivals(engine) != last {
            last = arrivals(engine);
            moved = now;
        }
        if now.duration_since(moved) > QUIET_AFTER {
            return Ok(engine.check.behind() == 0);
        }
    }
}
