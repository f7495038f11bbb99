//! How fast a directory imports follows and answers for people:
//! `cargo run --release -p directory --example pace -- [USERS] [FOLLOWS EACH]`.

use std::fmt::Write as _;
use std::time::Duration;

use directory::{Directory, WatchLimits};
use presence::ids::UserId;

/// A tool that measures has to look at the clock.
#[expect(clippy::disallowed_methods, reason = "this measures how long things take")]
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = std::time::Instant::now();
    (work.await, start.elapsed())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let users: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let each: usize = arguments.next().map_or(Ok(50), |text| text.parse())?;

    let mut lines = String::new();
    for user in 0..users {
        // An odd step spreads the followed over all users, as people who sign up at random do.
        for n in 1..=each {
            writeln!(lines, "dev_{user},dev_{}", (user + n * 7_919) % users)?;
        }
    }
    let folder = tempfile::tempdir()?;
    let directory = Directory::open(&folder.path().join("directory.sqlite")).await?;
    let (report, took) = timed(directory.import_follows(lines.as_bytes(), |_| {})).await;
    println!("import: {took:.2?}, {:?}", report?);

    let limits = WatchLimits { max: 2000, followers: false };
    let people: Vec<UserId> =
        (0..users).map(|user| UserId::parse(&format!("dev_{user}"))).collect::<Result<_, _>>()?;
    for at_once in [1, 2, 4] {
        let share = people.len().div_ceil(at_once);
        let (entries, took) = timed(async {
            let mut tasks = Vec::new();
            for share in people.chunks(share) {
                let (directory, share) = (directory.clone(), share.to_vec());
                tasks.push(tokio::spawn(async move {
                    let mut entries = 0;
                    for user in &share {
                        let person = directory.person(user, &limits).await?;
                        entries += person.map_or(0, |person| person.watch_list.entries.len());
                    }
                    Ok::<_, directory::DirectoryError>(entries)
                }));
            }
            let mut entries = 0;
            for task in tasks {
                entries += task.await??;
            }
            Ok::<_, Box<dyn std::error::Error>>(entries)
        })
        .await;
        let a_second = people.len() as f64 / took.as_secs_f64();
        println!("person, {at_once} at once: {a_second:.0}/s, {} entries", entries?);
    }
    let watchers: Vec<UserId> = people.iter().take(10_000).cloned().collect();
    let (ties, took) = timed(directory.ties(&people[0], &watchers)).await;
    println!("ties of {}: {took:.2?}", ties?.1.len());
    println!("check: {:?}", directory.check().await?);
    directory.close().await;
    Ok(())
}
