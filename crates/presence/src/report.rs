//! What a session says of itself, and how reports pile up to one.

use serde::{Deserialize, Serialize};

use crate::text::{self, TextError};

/// A session's report as it stands: every change applied. Empty text stands for "not said".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Status word as sent, such as `coding`.
    pub status: Box<str>,
    /// Project name.
    pub project: Box<str>,
    /// Programming language.
    pub language: Box<str>,
}

impl Report {
    /// Applies a change; tells whether anything is different now.
    pub fn apply(&mut self, change: &ReportChange) -> bool {
        let mut changed = false;
        let fields = [
            (&mut self.status, &change.status),
            (&mut self.project, &change.project),
            (&mut self.language, &change.language),
        ];
        for (held, new) in fields {
            if let Some(new) = new
                && held != new
            {
                held.clone_from(new);
                changed = true;
            }
        }
        changed
    }
}

/// One report as sent: an absent field keeps its value, an empty project or language clears it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportChange {
    /// New status word, never empty.
    pub status: Option<Box<str>>,
    /// New project.
    pub project: Option<Box<str>>,
    /// New language.
    pub language: Option<Box<str>>,
}

impl ReportChange {
    /// Checks the three fields against their limits.
    pub fn parse(
        status: Option<&str>,
        project: Option<&str>,
        language: Option<&str>,
    ) -> Result<Self, TextError> {
        if let Some(status) = status {
            text::check_filled("s", status, text::STATUS_CHARS_MAX)?;
        }
        if let Some(project) = project {
            text::check("p", project, text::PROJECT_CHARS_MAX)?;
        }
        if let Some(language) = language {
            text::check("l", language, text::LANGUAGE_CHARS_MAX)?;
        }
        Ok(Self {
            status: status.map(Into::into),
            project: project.map(Into::into),
            language: language.map(Into::into),
        })
    }

    /// Whether the report says nothing.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.project.is_none() && self.language.is_none()
    }

    /// Lays a later report over this one, so that the burst becomes one with the latest values.
    pub fn merge(&mut self, later: Self) {
        let fields = [
            (&mut self.status, later.status),
            (&mut self.project, later.project),
            (&mut self.language, later.language),
        ];
        for (held, new) in fields {
            if new.is_some() {
                *held = new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change() -> impl Strategy<Value = ReportChange> {
        let field = || proptest::option::of(prop_oneof![Just(""), Just("a"), Just("b")]);
        (field(), field(), field())
            .prop_map(|(s, p, l)| ReportChange::parse(s.filter(|s| !s.is_empty()), p, l).unwrap())
    }

    proptest! {
        #[test]
        fn a_merged_burst_is_the_reports_one_by_one(changes in proptest::collection::vec(change(), 1..8)) {
            let mut one_by_one = Report::default();
            let mut burst = ReportChange::default();
            for change in changes {
                one_by_one.apply(&change);
                burst.merge(change);
            }
            let mut merged = Report::default();
            merged.apply(&burst);
            prop_assert_eq!(&merged, &one_by_one);
            prop_assert!(!merged.apply(&burst), "the second time changes nothing");
        }
    }

    #[test]
    fn an_empty_status_is_refused_and_an_empty_project_clears() {
        assert_eq!(ReportChange::parse(Some(""), None, None), Err(TextError::Empty { field: "s" }));
        let mut report = Report { project: "x".into(), ..Report::default() };
        assert!(report.apply(&ReportChange::parse(None, Some(""), None).unwrap()));
        assert_eq!(report, Report::default());
    }
}
