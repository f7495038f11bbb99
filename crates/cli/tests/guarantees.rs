//! `docs/guarantees.md` promises nothing that no test shows: each row names its tests, and they
//! exist. That they pass is for the tests themselves to say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where rows that name no test stand.
const NOT_YET: &str = "## Not yet promised";

/// The tests of each file, by its path below `crates`.
type Tests = BTreeMap<String, Vec<String>>;

#[test]
fn every_promise_names_tests_that_exist() {
    let crates = root().join("crates");
    let tests = tests_below(&crates);
    let text = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let (rows, problems) = check(&text, &tests);
    assert!(problems.is_empty(), "docs/guarantees.md:\n{}", problems.join("\n"));
    assert!(rows >= 50, "only {rows} promises were found: has the form of the tables changed?");
}

#[test]
fn a_row_without_a_test_or_with_one_that_is_not_there_is_found() {
    let tests: Tests = [
        ("a/src/x.rs".to_owned(), vec!["one_thing_holds".to_owned()]),
        ("b/tests/y.rs".to_owned(), vec!["another_thing_holds".to_owned()]),
    ]
    .into();
    let table = |row: &str| format!("## 2\n\n| promise | shown by |\n| --- | --- |\n{row}\n");
    let found = |row: &str| check(&table(row), &tests).1.join("\n");

    assert_eq!(
        check(&table("| It holds. | `a/src/x.rs`: `one_thing_holds` |"), &tests),
        (1, vec![])
    );
    let both =
        "| Both. | `a/src/x.rs`: `one_thing_holds` · `b/tests/y.rs`: `another_thing_holds` |";
    assert_eq!(found(both), "");
    assert_eq!(found("| It holds. | |"), "line 5: the promise names no test");
    assert_eq!(found("| It holds. | `a/src/x.rs` |"), "line 5: the promise names no test");
    assert_eq!(
        found("| It holds. | `a/src/x.rs`: `one_thing_held` |"),
        "line 5: crates/a/src/x.rs has no test `one_thing_held`"
    );
    assert_eq!(
        found("| It holds. | `a/src/x.rs`: `another_thing_holds` |"),
        "line 5: crates/a/src/x.rs has no test `another_thing_holds`; crates/b/tests/y.rs has one"
    );
    assert_eq!(
        found("| It holds. | `one_thing_holds` |"),
        "line 5: `one_thing_holds` stands behind no file"
    );
    let later = format!("{NOT_YET}\n\n| promise | why |\n| --- | --- |\n| Not yet. | |\n");
    assert_eq!(check(&later, &tests), (0, vec![]));
}

#[test]
fn only_functions_that_are_tests_count() {
    let source = "
        fn helper() {}
        #[test]
        fn a_plain_one() {}
        proptest! {
            #[test]
            // Why.
            fn one_with_arguments(x in 0..9) {}
        }
        #[tokio::test(flavor = \"multi_thread\")]
        async fn one_that_waits() {}
    ";
    assert_eq!(tests_in(source), ["a_plain_one", "one_with_arguments", "one_that_waits"]);
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// How many promises there are, and what is wrong with which.
fn check(text: &str, tests: &Tests) -> (usize, Vec<String>) {
    let mut rows = 0;
    let mut problems = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let promised = lines.iter().position(|line| *line == NOT_YET).unwrap_or(lines.len());
    for (number, line) in lines[..promised].iter().enumerate() {
        let is_heading = lines.get(number + 1).is_some_and(|next| next.starts_with("| ---"));
        if !line.starts_with('|') || line.starts_with("| ---") || is_heading {
            continue;
        }
        rows += 1;
        let shown_by = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        problems.extend(
            check_row(shown_by, tests)
                .into_iter()
                .map(|problem| format!("line {}: {problem}", number + 1)),
        );
    }
    (rows, problems)
}

/// Checks the last cell of a row: files, each followed by names of tests in it.
fn check_row(cell: &str, tests: &Tests) -> Vec<String> {
    let mut problems = Vec::new();
    let mut file = None;
    let mut named = 0;
    for name in cell.split('`').skip(1).step_by(2) {
        if name.contains('/') {
            file = Some(name);
            continue;
        }
        named += 1;
        let Some(file) = file else {
            problems.push(format!("`{name}` stands behind no file"));
            continue;
        };
        let has_it = |tests: &Vec<String>| tests.iter().any(|test| test == name);
        if !tests.get(file).is_some_and(has_it) {
            let elsewhere = tests.iter().find(|(_, tests)| has_it(tests));
            let hint = elsewhere.map(|(other, _)| format!("; crates/{other} has one"));
            problems
                .push(format!("crates/{file} has no test `{name}`{}", hint.unwrap_or_default()));
        }
    }
    if named == 0 {
        problems.push("the promise names no test".to_owned());
    }
    problems
}

fn tests_below(crates: &Path) -> Tests {
    let mut found = Tests::new();
    let mut folders = vec![crates.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap_or_default();
                let below = path.strip_prefix(crates).unwrap_or(&path);
                found.insert(below.display().to_string(), tests_in(&source));
            }
        }
    }
    found
}

/// Names of the test functions in a file, in order.
fn tests_in(source: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if !(line.starts_with("#[") || line.starts_with("//") || line.is_empty()) {
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let (true, Some(rest)) = (is_test, function) {
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                tests.push(rest[..end.unwrap_or(rest.len())].to_owned());
            }
            is_test = false;
        }
    }
    tests
}
