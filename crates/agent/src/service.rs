//! The micro service: what other nodes and the command line ask of this daemon.

use std::sync::Arc;

use ccm_control::{Request, Service};
use ccm_role::Command;
use tokio::sync::{mpsc, oneshot};

use crate::event_loop::Incoming;
use crate::join::Joined;
use crate::observe::Observer;
use crate::tasks::Tasks;
use crate::{RunError, Settings};

/// Requests that may wait.
const QUEUE: usize = 32;

/// Answers until the service is stopped.
pub(crate) async fn start(
    joined: &Joined,
    settings: &Settings,
    observer: Arc<Observer>,
    commands: mpsc::Sender<Incoming>,
    tasks: &Tasks,
) -> Result<Service, RunError> {
    let (requests, queue) = mpsc::channel(QUEUE);
    let client = joined.client.clone();
    let service = Service::start(client, &settings.cluster, &settings.node, requests).await?;
    tasks.spawn("service", answer(queue, observer, commands, tasks.clone()));
    Ok(service)
}

async fn answer(
    mut queue: mpsc::Receiver<Request>,
    observer: Arc<Observer>,
    commands: mpsc::Sender<Incoming>,
    tasks: Tasks,
) {
    while let Some(request) = queue.recv().await {
        match request {
            Request::Ping(reply) => {
                // Whoever asked may have given up.
                reply.send(observer.pong()).ok();
            }
            Request::Status(reply) => {
                let observer = Arc::clone(&observer);
                tasks.spawn("status", async move {
                    reply.send(observer.status().await).ok();
                });
            }
            Request::Snapshot(request, reply) => {
                let observer = Arc::clone(&observer);
                tasks.spawn("snapshot request", async move {
                    reply.send(observer.snapshot(&request).await).ok();
                });
            }
            Request::Demote(demote, reply) => {
                let command = Command::Demote { successor: demote.successor };
                pass(&commands, command, reply);
            }
            Request::Promote(reply) => pass(&commands, Command::Promote, reply),
            Request::Leave(reply) => pass(&commands, Command::Leave, reply),
        }
    }
}

fn pass(
    commands: &mpsc::Sender<Incoming>,
    command: Command,
    reply: oneshot::Sender<Result<(), String>>,
) {
    if let Err(refused) = commands.try_send(Incoming { command, reply }) {
        let incoming = match refused {
            mpsc::error::TrySendError::Full(incoming)
            | mpsc::error::TrySendError::Closed(incoming) => incoming,
        };
        let busy = Err(String::from("the daemon is busy or ending: try again"));
        // Whoever asked may have given up.
        incoming.reply.send(busy).ok();
    }
}
