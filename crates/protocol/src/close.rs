//! Close codes: which number stands for which end of a connection, and what a client does then.
//!
//! The one place where the numbers are written. This module never closes anything.

use std::time::Duration;

use presence::close::Close;

use crate::limits::TOO_MANY_WAIT_MIN;

/// What a client does after its socket was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// Nothing by itself.
    StayAway,
    /// Connects again and resumes.
    Resume,
    /// Connects again and resumes, with backoff, but not before so long.
    ResumeAfter {
        /// The shortest wait.
        at_least: Duration,
    },
    /// Connects again and resumes, with backoff.
    ResumeWithBackoff,
    /// Connects again and logs in: the session is over.
    LoginAgain,
    /// Connects again and logs in, with backoff.
    LoginWithBackoff,
    /// Asks the person for another login.
    AskThePerson,
}

/// The close code.
pub const fn code(close: Close) -> u16 {
    match close {
        Close::Goodbye => 1000,
        Close::TooLarge => 1009,
        Close::Restart => 1012,
        Close::Drained => 4000,
        Close::StoreUnavailable => 4001,
        Close::PingsMissed => 4100,
        Close::NoHello => 4101,
        Close::TooMany => 4102,
        Close::LoginRefused => 4200,
        Close::Replaced => 4201,
        Close::SignedOut => 4202,
        Close::BadMessages => 4203,
    }
}

/// What a close code stands for, if the protocol gives it a meaning.
pub fn close_of(number: u16) -> Option<Close> {
    Close::ALL.into_iter().find(|close| code(*close) == number)
}

/// The name, as it stands in the protocol and as the reason in the close frame.
pub const fn name(close: Close) -> &'static str {
    match close {
        Close::Goodbye => "goodbye",
        Close::TooLarge => "message too large",
        Close::Restart => "restart",
        Close::Drained => "drained",
        Close::StoreUnavailable => "store not available",
        Close::PingsMissed => "two pings missed",
        Close::NoHello => "no hello in time",
        Close::TooMany => "too many messages",
        Close::LoginRefused => "login refused",
        Close::Replaced => "replaced",
        Close::SignedOut => "signed out",
        Close::BadMessages => "bad messages",
    }
}

/// What a client does after a close code; after one without a meaning here it resumes with backoff.
pub fn after(number: u16) -> ClientAction {
    let Some(close) = close_of(number) else { return ClientAction::ResumeWithBackoff };
    match close {
        Close::Goodbye | Close::Replaced | Close::BadMessages => ClientAction::StayAway,
        Close::Restart | Close::Drained => ClientAction::Resume,
        Close::StoreUnavailable => ClientAction::ResumeWithBackoff,
        Close::TooMany => ClientAction::ResumeAfter { at_least: TOO_MANY_WAIT_MIN },
        Close::PingsMissed => ClientAction::LoginAgain,
        Close::TooLarge | Close::NoHello => ClientAction::LoginWithBackoff,
        Close::LoginRefused | Close::SignedOut => ClientAction::AskThePerson,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_survives_its_code() {
        for close in Close::ALL {
            assert_eq!(close_of(code(close)), Some(close));
            // RFC 6455, 5.5: a control frame holds 125 bytes, two of them the code.
            assert!(name(close).len() <= 123);
        }
    }

    #[test]
    fn a_code_without_a_meaning_lets_the_client_resume_with_backoff() {
        for number in [0, 1001, 1005, 1006, 1008, 1011, 1013, 4999] {
            assert_eq!(close_of(number), None);
            assert_eq!(after(number), ClientAction::ResumeWithBackoff);
        }
    }

    #[test]
    fn a_client_resumes_only_sessions_that_are_not_over() {
        use presence::close::Fate;
        for close in Close::ALL {
            let resumes = matches!(
                after(code(close)),
                ClientAction::Resume
                    | ClientAction::ResumeAfter { .. }
                    | ClientAction::ResumeWithBackoff
            );
            assert_eq!(resumes, close.fate() == Fate::Detaches, "{close:?}");
        }
    }
}
