//! Texts that people see: what may stand in a status, a project, a language or a name.
//!
//! Control characters and direction overrides are refused, for a name that rewrites the line
//! around it can pretend to be somebody else.

/// Longest status word of a report, in characters.
pub const STATUS_CHARS_MAX: usize = 32;
/// Longest project name, in characters.
pub const PROJECT_CHARS_MAX: usize = 64;
/// Longest language name, in characters.
pub const LANGUAGE_CHARS_MAX: usize = 32;
/// Longest status set by hand, in characters.
pub const MANUAL_CHARS_MAX: usize = 100;
/// Longest display name, in characters.
pub const NAME_CHARS_MAX: usize = 64;

/// Why a text is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing, or only white space, where something is due.
    #[error("`{field}` may not be empty")]
    Empty {
        /// The field as the protocol names it.
        field: &'static str,
    },
    /// Longer than the field's limit.
    #[error("`{field}` has at most {max} characters, this one has {got}")]
    TooLong {
        /// The field as the protocol names it.
        field: &'static str,
        /// The limit, in characters.
        max: usize,
        /// What came, in characters.
        got: usize,
    },
    /// A control character or a direction override.
    #[error("`{field}` has the forbidden character {found:?}")]
    Forbidden {
        /// The field as the protocol names it.
        field: &'static str,
        /// The character.
        found: char,
    },
}

/// Whether a character may never be shown to others: controls, line separators, and the
/// bidirectional embeddings, overrides and isolates of Unicode (UAX #9).
pub fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks a text that may be empty.
pub fn check(field: &'static str, text: &str, max: usize) -> Result<(), TextError> {
    // Bytes bound characters from above, so the common short text is not counted.
    if text.len() > max {
        let got = text.chars().count();
        if got > max {
            return Err(TextError::TooLong { field, max, got });
        }
    }
    match text.chars().find(|c| is_forbidden(*c)) {
        Some(found) => Err(TextError::Forbidden { field, found }),
        None => Ok(()),
    }
}

/// Checks a text that must say something.
pub fn check_filled(field: &'static str, text: &str, max: usize) -> Result<(), TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Empty { field });
    }
    check(field, text, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_its_limit_in_characters_not_bytes() {
        assert_eq!(check("s", &"ä".repeat(32), 32), Ok(()));
        assert_eq!(
            check("s", &"ä".repeat(33), 32),
            Err(TextError::TooLong { field: "s", max: 32, got: 33 })
        );
    }

    #[test]
    fn controls_and_direction_overrides_are_refused() {
        for found in ['\0', '\n', '\u{7f}', '\u{85}', '\u{202e}', '\u{2066}', '\u{2028}'] {
            let text = format!("a{found}b");
            assert_eq!(check("p", &text, 64), Err(TextError::Forbidden { field: "p", found }));
        }
        // Right-to-left writing itself is welcome.
        assert_eq!(check("p", "שלום", 64), Ok(()));
    }

    #[test]
    fn a_status_of_white_space_is_empty() {
        assert_eq!(check_filled("s", " \u{a0}", 32), Err(TextError::Empty { field: "s" }));
    }
}
