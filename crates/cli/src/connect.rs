//! The flags that say where the server is and who comes, and the session that they open.

use std::time::Duration;

use clap::{Args, ValueEnum};
use client::{ClientError, Event, Login, Session, Target};
use presence::hello::{Credentials, IdentityKind, Secret};
use presence::report::ReportChange;

use crate::failure::Failure;

/// Which kind of identity is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Identity {
    /// By a GitHub token
    Github,
    /// By a token of a configured issuer
    Jwt,
    /// As a guest: new with --name, or again with the guest's --token
    Guest,
    /// As anyone, where the server runs with --dev; the token is the name
    Dev,
}

/// Flags of every command that logs in.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The server's address
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080/ws")]
    url: String,
    /// How to log in
    #[arg(long = "as", value_name = "KIND", value_enum, default_value = "github")]
    identity: Identity,
    /// The token; better in the environment, where other users of the machine do not see it
    #[arg(long, value_name = "TOKEN", env = "ROLLCALL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The name of a new guest
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl ConnectArgs {
    /// Opens a session that reports this first.
    pub(crate) fn link(&self, report: ReportChange) -> Result<Link, Failure> {
        let target = Target::parse(&self.url).map_err(|error| Failure::Usage(error.to_string()))?;
        let credentials = self.credentials()?;
        let session = Session::new(target, Login { credentials, report });
        Ok(Link { session, was_connected: false })
    }

    /// The address as given, to be shown.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn credentials(&self) -> Result<Credentials, Failure> {
        let kind = match self.identity {
            Identity::Github => IdentityKind::Github,
            Identity::Jwt => IdentityKind::Jwt,
            Identity::Guest => IdentityKind::Guest,
            Identity::Dev => IdentityKind::Dev,
        };
        match (kind, &self.token, &self.name) {
            (IdentityKind::Guest, None, None) => {
                let sentence = "--as guest needs --name for a new guest, or --token for one who \
                                comes again";
                return Err(Failure::Usage(sentence.into()));
            }
            (IdentityKind::Github | IdentityKind::Jwt | IdentityKind::Dev, None, _) => {
                let sentence = "a login needs --token, or ROLLCALL_TOKEN in the environment; with \
                                --as dev the token is the name";
                return Err(Failure::Usage(sentence.into()));
            }
            _ => {}
        }
        Ok(Credentials {
            kind,
            token: self.token.as_deref().map(Secret::new),
            name: self.name.as_deref().map(Into::into),
            guest: None,
        })
    }
}

/// A session whose end is the command's end.
pub(crate) struct Link {
    session: Session,
    was_connected: bool,
}

impl Link {
    /// What happens next, or nothing if nothing did in that time. A server that was never reached,
    /// and a session that is over, are failures.
    pub(crate) fn next(&mut self, timeout: Duration) -> Result<Option<Event>, Failure> {
        let Some(event) = self.session.next(timeout) else { return Ok(None) };
        match event {
            Event::Ended { why } => Err(Failure::Failed(why)),
            Event::Disconnected { why, .. } if !self.was_connected && !is_busy(&why) => {
                Err(Failure::Unavailable(why.to_string()))
            }
            event => {
                self.was_connected |= matches!(event, Event::Connected);
                Ok(Some(event))
            }
        }
    }

    /// Says goodbye: watchers see the user leave at once.
    pub(crate) fn goodbye(self) {
        self.session.goodbye();
    }
}

/// Whether the server may let the client in later.
fn is_busy(why: &ClientError) -> bool {
    matches!(why, ClientError::Refused { status: 429 | 503, .. })
}
