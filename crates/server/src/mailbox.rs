//! What other threads tell a shard, and how it wakes for it.

use std::sync::Arc;

use presence::close::Close;
use presence::shard::Input;
use tokio::sync::mpsc;

use crate::connection::Handover;

/// Places in a shard's mailbox.
pub(crate) const MAIL_MAX: usize = 4_096;

/// What other threads tell a shard.
pub(crate) enum Mail {
    /// A socket after its handshake.
    Socket(Handover),
    /// An answer of login or directory.
    Input(Box<Input>),
    /// Close every socket, and end once they are closed.
    Stop(Close),
}

/// Wakes a shard and gives it mail. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox {
    /// The queue.
    pub mail: mpsc::Sender<Mail>,
    /// The shard's waker.
    pub waker: Arc<mio::Waker>,
}

impl Mailbox {
    /// Delivers, waiting for a place.
    pub(crate) async fn deliver(&self, mail: Mail) {
        // A shard that has ended needs no mail; nor can a waker fail that still has its poller.
        let _ended = self.mail.send(mail).await;
        let _gone = self.waker.wake();
    }
}
