//! Requests that change the directory, carried out one after the other in the order they came.
//!
//! The directory has one writer anyway; and what the store is told last has to be what the
//! directory has last, or someone who went invisible would be seen. This module decides nothing.

use std::time::Duration;

use presence::ask::Ask;
use presence::ids::{ConnId, UserId};
use presence::shard::Input;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::mailbox::{Mail, Mailbox};
use crate::people::People;

/// Requests that wait; more are refused.
const WAITING_MAX: usize = 4_096;
/// Longest wait at a stop for the requests that were handed in.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A request, and where its answer goes.
pub(crate) struct Job {
    /// The socket that asks.
    pub conn: ConnId,
    /// The request's number.
    pub n: u64,
    /// Who asks.
    pub user: UserId,
    /// For what.
    pub ask: Ask,
    /// The shard of the socket.
    pub mailbox: Mailbox,
}

/// Where requests are handed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Changes {
    jobs: mpsc::Sender<Job>,
}

/// What carries them out. It ends when nobody can hand in anything any more.
pub(crate) struct Worker(JoinHandle<()>);

impl Changes {
    /// Starts on the current runtime.
    pub(crate) fn start(people: People) -> (Self, Worker) {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        (Self { jobs }, Worker(tokio::spawn(carry_out(waiting, people))))
    }

    /// Hands in a request; gives it back if too many wait.
    pub(crate) fn hand_in(&self, job: Job) -> Result<(), Box<Job>> {
        self.jobs.try_send(job).map_err(|refused| Box::new(refused.into_inner()))
    }
}

impl Worker {
    /// Waits until every request that was handed in is done, and the store knows of it.
    pub(crate) async fn finish(self) {
        match tokio::time::timeout(STOP_PATIENCE, self.0).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the worker of requests panicked"),
            Err(_) => tracing::warn!("some requests to the directory were not done in time"),
        }
    }
}

async fn carry_out(mut waiting: mpsc::Receiver<Job>, people: People) {
    while let Some(Job { conn, n, user, ask, mailbox }) = waiting.recv().await {
        let result = people.perform(&user, ask).await;
        mailbox.deliver(Mail::Input(Box::new(Input::Answer { conn, n, result }))).await;
    }
}
