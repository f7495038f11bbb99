//! Runs of the simulated node over many seeds. `ROLLCALL_SEEDS=10000` runs that many; the seed of a
//! failure is printed, and shows it again.

use std::time::Duration;

use presence::time::Timestamp;
use simulation::{Mix, Scenario, run};

/// Seeds of a normal run, over all parts.
const SEEDS: u64 = 300;
/// Tests that share the seeds, so that they run side by side.
const PARTS: u64 = 4;

fn seeds(part: u64) -> impl Iterator<Item = u64> {
    let asked = std::env::var("ROLLCALL_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    (0..asked.unwrap_or(SEEDS)).filter(move |seed| seed % PARTS == part)
}

fn everyone_is_told_the_truth(part: u64) {
    for seed in seeds(part) {
        if let Err(violation) = run(Scenario::new(seed, Mix::Everything)) {
            panic!("{violation}");
        }
    }
}

#[test]
fn everyone_is_told_the_truth_and_ends_with_it_part_1() {
    everyone_is_told_the_truth(0);
}

#[test]
fn everyone_is_told_the_truth_and_ends_with_it_part_2() {
    everyone_is_told_the_truth(1);
}

#[test]
fn everyone_is_told_the_truth_and_ends_with_it_part_3() {
    everyone_is_told_the_truth(2);
}

#[test]
fn everyone_is_told_the_truth_and_ends_with_it_part_4() {
    everyone_is_told_the_truth(3);
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..5 {
        let scenario = Scenario::new(seed, Mix::Everything);
        assert_eq!(run(scenario.clone()), run(scenario));
    }
}

/// Everyone has come by then.
const SETTLED: Duration = Duration::from_secs(8);
/// Until then everyone comes back.
const ACTING: Duration = Duration::from_secs(35);

#[test]
fn a_session_that_comes_back_in_time_is_resumed_and_nobody_hears_anything() {
    for seed in seeds(0) {
        let report = run(Scenario::new(seed, Mix::OnlyDrops));
        let report = report.unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(report.refused, 0, "seed {seed}");
        let start = report.sent.first().map_or(Timestamp::NEVER, |sent| sent.at);
        let is_late = |at: Timestamp| start + SETTLED < at && at < start + ACTING;
        let late = report.sent.iter().filter(|sent| is_late(sent.at));
        let is_patch =
            |text: &str| text.starts_with(r#"{"t":"u""#) || text.starts_with(r#"{"t":"x""#);
        let patches: Vec<_> = late.filter(|sent| is_patch(&sent.text)).collect();
        assert!(patches.is_empty(), "seed {seed}: {patches:?}");
    }
}
