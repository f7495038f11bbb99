//! Project names that never leave the server, as patterns.
//!
//! `*` stands for any run of characters, `?` for any one; case is ignored. Small enough to stand
//! in a store's script too, which a general library's syntax would not.

use serde::{Deserialize, Serialize};

use crate::text::{self, TextError};

/// A pattern over project names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glob(Box<str>);

impl Glob {
    /// Parses a pattern of 1 to 64 characters.
    pub fn parse(pattern: &str) -> Result<Self, TextError> {
        text::check_filled("hidden_projects", pattern, text::PROJECT_CHARS_MAX)?;
        Ok(Self(pattern.into()))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole project name matches. Takes at most `pattern × name` steps.
    pub fn matches(&self, project: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().flat_map(char::to_lowercase).collect();
        let name: Vec<char> = project.chars().flat_map(char::to_lowercase).collect();
        let (mut p, mut n) = (0, 0);
        // Where the last star stood, and how much of the name it has taken so far.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(c) if *c == '?' || *c == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((at, taken)) = star else { return false };
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
            }
        }
        pattern[p..].iter().all(|c| *c == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_name_whatever_its_case() {
        let table = [
            ("secret", "secret", true),
            ("secret", "Secret", true),
            ("secret", "secret2", false),
            ("secret*", "secret2", true),
            ("*secret*", "my-secret-thing", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?at", "cat", true),
            ("?at", "at", false),
            ("*", "", true),
            ("acme-*", "acme", false),
            ("Ä*", "äpfel", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Glob::parse(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_has_limits() {
        assert!(Glob::parse("").is_err());
        assert!(Glob::parse(&"*".repeat(65)).is_err());
        assert!(Glob::parse("a\u{202e}").is_err());
    }
}
