//! How a command ends when it does not end well, and the exit code of each way (sysexits.h).

use std::process::ExitCode;

/// The command line is wrong, or what it names cannot be used so.
pub(crate) const USAGE: u8 = 64;
/// A server or a port is not available.
pub(crate) const UNAVAILABLE: u8 = 69;

/// Why a command failed, in a sentence for the person.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A flag is wrong, or a folder is held by a server.
    #[error("{0}")]
    Usage(String),
    /// A server does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// It was tried and came to nothing.
    #[error("{0}")]
    Failed(String),
    /// Everything has been said already.
    #[error("")]
    Told,
    /// Whoever read the output has left: nothing more to say, and nothing wrong.
    #[error("")]
    NobodyReads,
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(USAGE),
            Self::Unavailable(_) => ExitCode::from(UNAVAILABLE),
            Self::Failed(_) | Self::Told => ExitCode::FAILURE,
            Self::NobodyReads => ExitCode::SUCCESS,
        }
    }

    /// What a failed write to standard output means.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Failed(format!("standard output cannot be written: {error}")),
        }
    }
}
