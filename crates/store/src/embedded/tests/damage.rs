//! Logs that are torn, damaged, incomplete, grown too long, or cannot be written.

use super::*;

#[test]
fn a_torn_log_is_said_and_set_aside_and_the_rest_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.open("dev_ada", 1);
    node.next();
    node.kill();
    let path = segment(dir.path());
    let whole = fs::read(&path).unwrap();
    // The record of someone else was being written when the power went.
    let mut torn = whole.clone();
    torn.extend_from_slice(&whole[..20]);
    fs::write(&path, &torn).unwrap();

    let node = start(dir.path(), START).unwrap();
    assert_eq!(node.resume(1, 7), Some(id("dev_ada")));
    node.kill();
    let aside = contents(dir.path()).into_iter().find(|(name, _)| name.contains(".torn-"));
    assert_eq!(aside.expect("the torn bytes are kept").1, whole[..20].to_vec());
}

#[test]
fn a_power_cut_may_tear_a_segment_and_the_one_begun_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.open("dev_ada", 1);
    node.next();
    node.kill();
    let path = segment(dir.path());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], &[0; 40]].concat()).unwrap();
    let number: u64 = path.file_stem().unwrap().to_str().unwrap()[9..].parse().unwrap();
    let next = dir.path().join(format!("presence-{:08}.log", number + 1));
    fs::write(next, &whole[..30]).unwrap();

    let node = start(dir.path(), START).unwrap();
    assert_eq!(node.resume(1, 7), Some(id("dev_ada")));
    node.kill();
    let aside = contents(dir.path()).into_keys().filter(|name| name.contains(".torn-"));
    assert_eq!(aside.count(), 2, "both are kept");
}

#[test]
fn a_damaged_log_stops_the_start_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    for number in 1..4 {
        node.open("dev_ada", number);
        node.next();
    }
    node.kill();
    let path = segment(dir.path());
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let before = contents(dir.path());
        let refused = start(dir.path(), START).err().map(|error| error.to_string());
        let refused = refused.unwrap_or_else(|| panic!("damage at byte {at} went unnoticed"));
        assert!(refused.contains("damaged at byte"), "{refused}");
        assert!(refused.contains("presence-*.log"), "{refused}");
        assert_eq!(contents(dir.path()), before, "damage at byte {at}");
    }
}

#[test]
fn a_missing_segment_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.open("dev_ada", 1);
    node.next();
    node.kill();
    let path = segment(dir.path());
    let number: u64 = 900;
    fs::copy(&path, dir.path().join(format!("presence-{number:08}.log"))).unwrap();
    // 900 alone is whole, so what is before it is not needed; 902 needs 901.
    fs::write(dir.path().join("presence-00000902.log"), []).unwrap();
    let refused = start(dir.path(), START).err().unwrap().to_string();
    assert!(refused.contains("segment 901 is missing"), "{refused}");
}

#[test]
fn the_log_begins_new_segments_and_forgets_old_ones_without_losing_anyone() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.watch("dev_ada");
    node.open("dev_ada", 1);
    node.presence();
    for round in 0..2_000 {
        let change = ReportChange::parse(None, Some(&format!("p{round}")), None).unwrap();
        let session = SessionId([1; 16]);
        node.ask(Request::Report { user: id("dev_ada"), session, owner: owner(1), change });
    }
    let mut last = String::new();
    while last != "p1999" {
        if let Event::Presence { presence, .. } = node.next() {
            last = presence.shown.as_ref().unwrap().project().to_owned();
        }
    }
    node.set_clock(START + Duration::from_secs(1));
    node.next();
    node.kill();
    let bytes: usize = contents(dir.path()).values().map(Vec::len).sum();
    assert!(bytes < 256 << 10, "{bytes} bytes are left of 2,000 changes of one user");
    let node = start(dir.path(), START).unwrap();
    let held = node.watch("dev_ada").unwrap();
    assert_eq!(held.shown.as_ref().unwrap().project(), "p1999");
    node.kill();
}

#[test]
fn a_folder_that_cannot_be_written_leaves_presence_going_and_is_made_good_later() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let node = start(&data, START).unwrap();
    node.watch("dev_ada");
    // The next segment cannot be begun: its folder is not there.
    fs::rename(&data, dir.path().join("elsewhere")).unwrap();
    node.open("dev_ada", 1);
    node.presence();
    let opened = node.next();
    assert!(matches!(opened, Event::Opened { opened: true, .. }), "{opened:?}");
    for round in 0..2_000 {
        let change = ReportChange::parse(None, Some(&format!("p{round}")), None).unwrap();
        let session = SessionId([1; 16]);
        node.ask(Request::Report { user: id("dev_ada"), session, owner: owner(1), change });
        node.presence();
    }
    assert!(!node.store.handle.is_writable());
    fs::create_dir(&data).unwrap();
    node.set_clock(START + Duration::from_secs(2));
    node.next();
    // Two answers later a whole turn of the thread lies behind.
    node.set_clock(START + Duration::from_secs(2));
    node.next();
    assert!(node.store.handle.is_writable());
    node.kill();
    let node = start(&data, START).unwrap();
    assert_eq!(node.resume(1, 7), Some(id("dev_ada")));
    node.kill();
}

#[test]
fn a_full_disk_is_tried_again_in_the_same_place_and_nothing_whole_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.open("dev_ada", 1);
    node.next();
    node.kill();
    let whole = segment(dir.path());
    let (mut log, _) = Log::open(Found::read(dir.path()).unwrap(), Epoch(1)).unwrap();
    // Whatever is written there finds the disk full; and once not even a file can be made.
    let next = dir.path().join("presence-00000002.log");
    std::os::unix::fs::symlink("/dev/full", &next).unwrap();
    for attempt in 0..5 {
        if attempt == 3 {
            fs::remove_file(&next).unwrap();
            fs::create_dir(&next).unwrap();
        }
        log.begin_segment();
        log.add(&Record::Complete);
        log.write();
        log.drop_older();
        assert!(log.is_failing());
    }
    fs::remove_dir(&next).unwrap();
    let names = || contents(dir.path()).into_keys().collect::<Vec<_>>();
    assert_eq!(names(), ["presence-00000001.log"], "no attempt left anything");
    assert!(fs::metadata(&whole).unwrap().len() > 0, "what was whole is as it was");
    log.begin_segment();
    log.add(&Record::Complete);
    log.write();
    assert!(!log.is_failing());
    log.drop_older();
    // The thread that syncs and removes may still be busy: the node asks it again each second.
    for _ in 0..100_000 {
        if names().len() == 1 {
            break;
        }
        log.sync();
    }
    assert_eq!(names(), ["presence-00000002.log"]);
}
