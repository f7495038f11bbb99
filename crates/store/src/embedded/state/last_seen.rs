//! What goes to the directory behind the store's back, and what the store may forget once it is
//! there.

use std::time::Duration;

use presence::ids::Handle;
use presence::time::Timestamp;
use presence::view::PerClass;

use super::{MISSED_FOR, State};
use crate::SeenBatch;

/// A user without sessions is kept this long, so that whoever resumes hears what changed.
pub(in crate::embedded) const FORGET_AFTER: Duration = Duration::from_secs(900);

impl State {
    /// Drops users who have had no session for long, whom the directory knows all about.
    pub(in crate::embedded) fn forget_idle(&mut self, now: Timestamp) {
        self.missed.retain(|_, missed| now.since(missed.at) < MISSED_FOR);
        while let Some((since, handle)) = self.idle.first().copied() {
            if now.since(since) < FORGET_AFTER {
                return;
            }
            self.idle.pop_first();
            let is_kept = self.unwritten.contains(&handle);
            let entry = &mut self.entries[handle.0 as usize];
            entry.idle_since = None;
            if is_kept {
                // The directory has not taken the last seen yet: try again after a while.
                entry.idle_since = Some(now);
                self.idle.insert((now, handle));
            } else {
                entry.record = None;
                self.touch(handle);
            }
        }
    }

    /// Everyone online was last seen now: the directory is to know.
    pub(in crate::embedded) fn mark_online_unwritten(&mut self) {
        let online = self.entries.iter().zip(0u32..).filter(|(entry, _)| {
            entry.record.as_ref().is_some_and(|record| record.presence.shown.is_some())
        });
        self.unwritten.extend(online.map(|(_, number)| Handle(number)));
    }

    /// The next users whose last seen the directory does not have.
    pub(in crate::embedded) fn take_unwritten(
        &mut self,
        now: Timestamp,
        most: usize,
    ) -> Option<SeenBatch> {
        let handles: Vec<Handle> = self.unwritten.iter().copied().take(most).collect();
        let mut batch = Vec::with_capacity(handles.len());
        for handle in handles {
            self.unwritten.remove(&handle);
            let entry = &self.entries[handle.0 as usize];
            if let Some(record) = &entry.record {
                let seen: PerClass = record.seen_at(now);
                batch.push((entry.id.clone(), seen));
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// A batch could not be handed over: its users stay to be written.
    pub(in crate::embedded) fn give_back_unwritten(&mut self, batch: &SeenBatch) {
        let handles = batch.iter().filter_map(|(id, _)| self.by_id.get(id));
        self.unwritten.extend(handles);
    }

    /// The directory has these. A user who ended meanwhile stands in the next batch.
    pub(in crate::embedded) fn seen_written(&mut self, batch: &SeenBatch) {
        for (id, written) in batch {
            let Some(handle) = self.by_id.get(id).copied() else { continue };
            let Some(record) = &self.entries[handle.0 as usize].record else { continue };
            if record.presence.shown.is_none() && record.presence.seen != *written {
                self.unwritten.insert(handle);
            }
        }
    }
}
