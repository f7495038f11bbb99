//! `rollcall import`: brings relations into the directory while no server uses it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use directory::{Directory, ImportReport};
use indicatif::{ProgressBar, ProgressStyle};
use store::folder::{DataFolder, FolderError};

use crate::failure::Failure;

/// The data folder unless `--data` names another.
pub(crate) const DATA_DEFAULT: &str = "./rollcall-data";
/// The directory's file in the data folder.
const DIRECTORY_FILE: &str = "directory.sqlite";
/// How often a progress without a known end is drawn.
const TICK_EVERY: Duration = Duration::from_millis(200);

/// What is imported.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Lines `follower,followee` of user ids; users who don't exist yet are made
    Follows(FollowsArgs),
}

/// Flags of `rollcall import follows`.
#[derive(Debug, Args)]
pub(crate) struct FollowsArgs {
    /// The file, or - for standard input
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Flags that say where the directory is.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The server's data folder
    #[arg(long, value_name = "DIR", default_value = DATA_DEFAULT)]
    pub(crate) data: PathBuf,
    /// The directory, unless it is directory.sqlite in the data folder
    #[arg(long, value_name = "sqlite://FILE", value_parser = parse_directory)]
    directory: Option<PathBuf>,
}

impl PlaceArgs {
    /// The directory's file.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| self.data.join(DIRECTORY_FILE))
    }

    /// Whether the directory stands elsewhere than in the data folder.
    fn is_elsewhere(&self) -> bool {
        self.directory.is_some()
    }
}

fn parse_directory(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() => Ok(path.into()),
        _ => Err("this version knows only sqlite://FILE".into()),
    }
}

/// Imports.
pub(crate) fn run(command: &ImportCommand) -> Result<(), Failure> {
    let ImportCommand::Follows(args) = command;
    let _held = hold(&args.place)?;
    let report = follows(&args.file, &args.place.directory())?;
    let ImportReport { lines, users_made, follows_made, already_there } = report;
    writeln!(
        io::stdout(),
        "{lines} follows read: {follows_made} are new, {already_there} were there already; \
         {users_made} users made"
    )
    .map_err(|error| Failure::output(&error))
}

/// Keeps servers away from the data folder. Where the directory stands elsewhere and there is no
/// data folder, there is none to hold.
fn hold(place: &PlaceArgs) -> Result<Option<DataFolder>, Failure> {
    if place.is_elsewhere() && !place.data.exists() {
        return Ok(None);
    }
    match DataFolder::lock(&place.data) {
        Ok(held) => Ok(Some(held)),
        Err(error @ FolderError::InUse(_)) => Err(Failure::Usage(error.to_string())),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

fn follows(file: &Path, path: &Path) -> Result<ImportReport, Failure> {
    let (reader, bar): (Box<dyn Read>, ProgressBar) = if file == Path::new("-") {
        (Box::new(io::stdin().lock()), ProgressBar::new_spinner())
    } else {
        let failed = |error| Failure::Failed(format!("{}: {error}", file.display()));
        let reader = File::open(file).map_err(failed)?;
        let bytes = reader.metadata().map_err(failed)?.len();
        let bar = ProgressBar::new(bytes);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}%, {eta} left") {
            bar.set_style(style);
        }
        (Box::new(reader), bar)
    };
    bar.enable_steady_tick(TICK_EVERY);
    let reader = bar.wrap_read(reader);
    let report = block_on(async {
        let directory =
            Directory::open(path).await.map_err(|error| Failure::Failed(error.to_string()))?;
        let progress = |lines| bar.set_message(format!("{lines} lines"));
        let report = directory.import_follows(reader, progress).await;
        directory.close().await;
        report.map_err(|error| Failure::Failed(error.to_string()))
    });
    bar.finish_and_clear();
    report
}

/// Runs one thing that waits for the directory.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no event loop: {error}")))?;
    runtime.block_on(work)
}
