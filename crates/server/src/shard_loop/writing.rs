//! The last part of a turn: what goes out, and sockets that close.

use std::time::Duration;

use presence::close::Close;
use presence::ids::ConnId;
use presence::shard::Input;
use presence::time::Timestamp;

use super::{Driver, WRITE_BYTES};
use crate::connection::Written;
use crate::encode;

/// Sockets written per turn: fewer would waste polls, more would make the first wait.
const WRITES_PER_TURN: usize = 32;
/// Time for the other side to take a close frame and close.
const LINGER: Duration = Duration::from_secs(5);
/// The same while the node stops: nobody who does not hang up keeps the others from coming back.
const STOP_LINGER: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) fn begin_close(&mut self, now: Timestamp, id: ConnId, close: Close) {
        self.parts.meters.closed(close);
        let Some(held) = self.conn(id) else { return };
        if held.closing_since.is_none() {
            held.closing_since = Some(now);
            encode::close(close, held.unsent());
            self.closing.push_back((now, id));
            self.queue_write(id);
        }
    }

    /// Writes the longest-waiting sockets. One that has more to take waits again behind the rest.
    pub(super) fn write_some(&mut self, now: Timestamp) {
        for _ in 0..WRITES_PER_TURN {
            let Some(id) = self.to_write.pop_front() else { return };
            if let Some(held) = self.conn(id) {
                held.is_queued = false;
                self.write(now, id);
            }
        }
    }

    fn write(&mut self, now: Timestamp, id: ConnId) {
        self.buffer.clear();
        let Some(held) = self.conns.get_mut(id.slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let is_closing = held.closing_since.is_some();
        // A socket that has not taken the last batch gets no further one: its outbox waits, and is
        // asked for once the socket has taken all.
        let mut has_more = !is_closing;
        if !is_closing && held.unsent_bytes() < WRITE_BYTES {
            let (encoder, buffer, codec) = (&mut self.encoder, &mut self.buffer, held.codec);
            let mut patches = 0;
            has_more = self.parts.shard.take_patches(now, id, |patch| {
                encoder.patch(codec, patch, buffer);
                patches += 1;
                buffer.len() < WRITE_BYTES
            });
            self.parts.meters.patches += patches;
        }
        if !self.buffer.is_empty() || held.unsent_bytes() > 0 {
            self.parts.meters.writes += 1;
        }
        match held.send(&self.buffer) {
            Written::All => {
                if is_closing {
                    held.shut_down();
                    if held.is_drained() {
                        self.drop_conn(id);
                    }
                    return;
                }
                let is_paused = std::mem::replace(&mut held.is_paused, false);
                if has_more {
                    self.queue_write(id);
                }
                if is_paused {
                    self.queue_read(id);
                }
            }
            // The poller tells when it takes more.
            Written::Blocked => {}
            Written::Gone => {
                if !is_closing {
                    let closed = Input::Closed { conn: id, goodbye: false };
                    self.parts.shard.handle(now, closed, &mut self.effects);
                    self.carry_out(now);
                }
                self.drop_conn(id);
            }
        }
    }

    pub(super) fn linger_max(&self) -> Duration {
        if self.stopping { STOP_LINGER } else { LINGER }
    }

    /// Drops sockets whose other side takes too long to close.
    pub(super) fn linger(&mut self, now: Timestamp) {
        while let Some((since, id)) = self.closing.front().copied() {
            let is_over = now.since(since) >= self.linger_max();
            if self.conn(id).is_some() && !is_over {
                return;
            }
            self.closing.pop_front();
            self.drop_conn(id);
        }
    }

    pub(super) fn drop_conn(&mut self, id: ConnId) {
        if self.conn(id).is_some() {
            // Dropping the socket takes it off the poller.
            self.conns[id.slot as usize] = None;
            self.free.push(id.slot);
        }
    }
}
