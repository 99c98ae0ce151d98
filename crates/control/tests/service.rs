//! Daemons that answer, and who asks them, over a real nats-server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use ccm_control::{
    Client, ControlError, DemoteRequest, DivergedFile, DivergedStatus, NatsStatus, NodeStatus,
    Pong, Request, Service, SnapshotTaken, Status, VipStatus,
};
use ccm_harness::NatsServer;
use ccm_harness::wait::until_async;
use ccm_types::{ClusterId, Epoch, NodeId, RoleName, Txid};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(10);
/// For questions that meet a service or a server on its way out, and are asked again.
const AT_ONCE: Duration = Duration::from_millis(200);

fn cluster() -> ClusterId {
    ClusterId::new("test").unwrap()
}

fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

async fn connect(server: &NatsServer) -> async_nats::Client {
    let options =
        async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50));
    options.connect(server.url()).await.unwrap()
}

async fn asker(server: &NatsServer) -> Client {
    Client::new(connect(server).await, cluster())
}

async fn offer(server: &NatsServer, id: &NodeId) -> (Service, mpsc::Receiver<Request>) {
    let (requests, queue) = mpsc::channel(4);
    (Service::start(connect(server).await, &cluster(), id, requests).await.unwrap(), queue)
}

fn pong(id: &NodeId) -> Pong {
    Pong { node_id: id.clone(), instance: String::from("i"), version: String::from("0.1.0") }
}

fn taken() -> SnapshotTaken {
    SnapshotTaken {
        name: String::from("ltx/9/0000000000000001-0000000000000412.ltx"),
        txid: Txid::new(1042),
        size: 4096,
        epoch: Some(Epoch::new(2)),
        committed_at_ms: 1_700_000_000_000,
        took_ms: 12,
    }
}

fn status(id: &NodeId) -> Status {
    Status {
        cluster_id: cluster(),
        node_id: id.clone(),
        role: RoleName::Primary,
        leader: Some(id.clone()),
        epoch: Some(Epoch::new(2)),
        lease_remaining_ms: Some(8000),
        leader_since: Some(String::from("2026-01-02T03:00:00Z")),
        lease_free_in_ms: None,
        backend_status: String::from("running"),
        backend_uptime_seconds: 3,
        txid: Txid::new(1042),
        replication_lag_ms: 5,
        unshipped_bytes: 4096,
        vip: Some(VipStatus { address: String::from("192.0.2.9/24"), held: true }),
        nats: NatsStatus { connected: true, server: String::from("127.0.0.1:4222") },
        not_eligible: Some(String::from("it rests")),
        diverged: DivergedStatus {
            count: 1,
            bytes: 4096,
            max_bytes: 1 << 36,
            files: vec![DivergedFile {
                name: String::from("data.db.diverged-e1-t42-1"),
                epoch: Epoch::new(1),
                txid: Some(Txid::new(42)),
                bytes: 4096,
            }],
        },
        problem: None,
        nodes: vec![NodeStatus {
            node_id: id.clone(),
            role: RoleName::Primary,
            backend_status: String::from("running"),
            txid: Txid::new(1042),
            replication_lag_ms: 5,
            last_seen: String::from("2026-01-02T03:04:05Z"),
            diverged_files: 0,
            diverged_bytes: 0,
            problem: Some(String::from("slow")),
        }],
    }
}

/// Answers everything at once: demotes only towards `b`.
async fn answer(id: NodeId, mut queue: mpsc::Receiver<Request>) {
    while let Some(request) = queue.recv().await {
        match request {
            Request::Ping(reply) => reply.send(pong(&id)).unwrap(),
            Request::Status(reply) => reply.send(status(&id)).unwrap(),
            Request::Demote(demote, reply) => {
                let to_b = demote.successor == Some(node("b"));
                let result = if to_b { Ok(()) } else { Err(format!("not to {demote:?}")) };
                reply.send(result).unwrap();
            }
            Request::Promote(reply) => reply.send(Ok(())).unwrap(),
            Request::Leave(reply) => reply.send(Err(String::from("not today"))).unwrap(),
            Request::Snapshot(request, reply) => {
                let slow = request.within_ms < 1000;
                reply
                    .send(if slow { Err(String::from("it goes on")) } else { Ok(taken()) })
                    .unwrap();
            }
        }
    }
}

async fn promotion(queue: &mut mpsc::Receiver<Request>) -> oneshot::Sender<Result<(), String>> {
    let request = tokio::time::timeout(SOON, queue.recv()).await.unwrap().unwrap();
    let Request::Promote(reply) = request else { panic!("{request:?}") };
    reply
}

#[tokio::test]
async fn every_question_reaches_the_node_it_names_also_when_its_id_is_a_host_name() {
    let server = NatsServer::start();
    let mut answering = JoinSet::new();
    let mut services = Vec::new();
    let ids = [node("db1.example.com"), node("db1_example_com")];
    for id in &ids {
        let (service, queue) = offer(&server, id).await;
        services.push(service);
        answering.spawn(answer(id.clone(), queue));
    }
    let asker = asker(&server).await;
    for id in &ids {
        assert_eq!(asker.ping(id, SOON).await.unwrap(), pong(id));
        assert_eq!(asker.status(id, SOON).await.unwrap(), status(id));
        let to_b = DemoteRequest { successor: Some(node("b")) };
        asker.demote(id, &to_b, SOON).await.unwrap();
        let error = asker.demote(id, &DemoteRequest::default(), SOON).await.unwrap_err();
        assert!(error.to_string().contains("not to"), "{error}");
        asker.promote(id, SOON).await.unwrap();
        assert_eq!(asker.snapshot(id, SOON).await.unwrap(), taken());
        let error = asker.snapshot(id, AT_ONCE).await.unwrap_err();
        assert!(matches!(&error, ControlError::Refused(words) if words == "it goes on"), "{error}");
        let error = asker.leave(id, SOON).await.unwrap_err();
        assert!(matches!(&error, ControlError::Refused(words) if words == "not today"), "{error}");
    }
}

#[tokio::test]
async fn the_service_is_found_with_the_standard_questions_until_it_ends() {
    let server = NatsServer::start();
    let (service, _queue) = offer(&server, &node("db1.example.com")).await;
    assert_eq!(service.name(), "convex-test-db1_example_com");
    let nats = connect(&server).await;
    let name = service.name();
    for verb in ["PING", "INFO", "STATS"] {
        let to = format!("$SRV.{verb}.{name}");
        let found = nats.request(to, "".into()).await.unwrap();
        let found: Value = serde_json::from_slice(&found.payload).unwrap();
        assert_eq!(found["name"], "convex-test-db1_example_com");
        assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
        if verb == "INFO" {
            assert_eq!(
                found["metadata"],
                json!({ "cluster_id": "test", "node_id": "db1.example.com" })
            );
            let mut subjects: Vec<&str> = found["endpoints"]
                .as_array()
                .unwrap()
                .iter()
                .map(|endpoint| endpoint["subject"].as_str().unwrap())
                .collect();
            subjects.sort_unstable();
            let ends = [
                "control.demote",
                "control.leave",
                "control.promote",
                "control.snapshot",
                "ping",
                "status",
            ];
            let expected = ends.map(|end| format!("convex.test.svc.db1=2Eexample=2Ecom.{end}"));
            assert_eq!(subjects, expected);
        }
    }
    service.stop().await;
    let (dropped, _queue) = offer(&server, &node("other")).await;
    drop(dropped);
    until_async(SOON, "both to be gone", tokio::time::sleep, async || {
        let ping = async_nats::Request::new().timeout(Some(AT_ONCE));
        let asked = nats.send_request("$SRV.PING", ping).await;
        asked.err().filter(|e| e.kind() == async_nats::RequestErrorKind::NoResponders)
    })
    .await;
}

#[tokio::test]
async fn a_node_without_a_daemon_is_told_apart_from_one_that_is_slow() {
    let server = NatsServer::start();
    let asker = asker(&server).await;
    let error = asker.ping(&node("nobody"), SOON).await.unwrap_err();
    assert!(matches!(&error, ControlError::NoResponder { node } if node.as_str() == "nobody"));
    assert!(error.is_transient() && !error.is_ambiguous(), "{error}");

    let (_service, _queue) = offer(&server, &node("slow")).await;
    let error = asker.promote(&node("slow"), AT_ONCE).await.unwrap_err();
    let timed_out =
        matches!(&error, ControlError::TimedOut { node, .. } if node.as_str() == "slow");
    assert!(timed_out, "{error:?}");
    assert!(error.is_ambiguous(), "{error}");
}

#[tokio::test]
async fn slow_promotions_block_neither_ping_nor_status() {
    let server = NatsServer::start();
    let id = node("a");
    let (_service, mut queue) = offer(&server, &id).await;
    let asker = asker(&server).await;
    let mut promotions = JoinSet::new();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (asker, id) = (asker.clone(), id.clone());
        promotions.spawn(async move { asker.promote(&id, SOON).await });
        waiting.push(promotion(&mut queue).await);
    }
    let mut answering = JoinSet::new();
    answering.spawn(answer(id.clone(), queue));
    assert_eq!(asker.ping(&id, SOON).await.unwrap(), pong(&id));
    assert_eq!(asker.status(&id, SOON).await.unwrap(), status(&id));
    for reply in waiting {
        reply.send(Ok(())).unwrap();
    }
    while let Some(promoted) = promotions.join_next().await {
        promoted.unwrap().unwrap();
    }
}

#[tokio::test]
async fn at_the_end_an_answer_that_is_there_goes_out_and_who_has_none_is_told() {
    let server = NatsServer::start();
    let id = node("a");
    let (service, mut queue) = offer(&server, &id).await;
    let asker = asker(&server).await;
    let ask = || {
        let (asker, id) = (asker.clone(), id.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { asker.promote(&id, SOON).await });
        task
    };
    let mut first = ask();
    let answered = promotion(&mut queue).await;
    let mut second = ask();
    let _open = promotion(&mut queue).await;
    answered.send(Ok(())).unwrap();
    service.stop().await;
    first.join_next().await.unwrap().unwrap().unwrap();
    let error = second.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "node a: the daemon is ending");
    until_async(SOON, "the service to be gone", tokio::time::sleep, async || {
        let error = asker.ping(&id, AT_ONCE).await.err();
        error.filter(|e| matches!(e, ControlError::NoResponder { .. }))
    })
    .await;
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_in_words() {
    let server = NatsServer::start();
    let (_service, queue) = offer(&server, &node("a")).await;
    let mut answering = JoinSet::new();
    answering.spawn(answer(node("a"), queue));
    let demote = "convex.test.svc.a.control.demote";
    let request = json!({ "successor": 7 }).to_string();
    let got = connect(&server).await.request(demote, request.into()).await.unwrap();
    let got: Value = serde_json::from_slice(&got.payload).unwrap();
    assert_eq!(got["ok"], false);
    assert!(got["error"].as_str().unwrap().contains("not valid"), "{got}");
}

#[tokio::test]
async fn the_service_answers_again_after_nats_was_away() {
    let mut server = NatsServer::start();
    let id = node("a");
    let (_service, queue) = offer(&server, &id).await;
    let mut answering = JoinSet::new();
    answering.spawn(answer(id.clone(), queue));
    let asker = asker(&server).await;
    asker.ping(&id, SOON).await.unwrap();
    server.kill();
    until_async(SOON, "the loss to be seen", tokio::time::sleep, async || {
        asker.ping(&id, AT_ONCE).await.err().filter(|e| matches!(e, ControlError::NotConnected))
    })
    .await;
    server.restart();
    until_async(SOON, "the answer", tokio::time::sleep, async || {
        asker.ping(&id, AT_ONCE).await.ok()
    })
    .await;
}

#[test]
fn the_status_is_the_json_that_programs_rely_on() {
    let expected = json!({
        "clusterId": "test", "nodeId": "a", "role": "PRIMARY", "leader": "a", "epoch": 2,
        "leaseRemainingMs": 8000, "leaderSince": "2026-01-02T03:00:00Z", "leaseFreeInMs": null,
        "backendStatus": "running", "backendUptimeSeconds": 3,
        "txid": 1042, "replicationLagMs": 5, "unshippedBytes": 4096,
        "vip": { "address": "192.0.2.9/24", "held": true },
        "nats": { "connected": true, "server": "127.0.0.1:4222" }, "problem": null,
        "notEligible": "it rests",
        "diverged": {
            "count": 1, "bytes": 4096, "maxBytes": 68_719_476_736_u64,
            "files": [{
                "name": "data.db.diverged-e1-t42-1", "epoch": 1, "txid": 42, "bytes": 4096,
            }],
        },
        "nodes": [{
            "nodeId": "a", "role": "PRIMARY", "backendStatus": "running", "txid": 1042,
            "replicationLagMs": 5, "lastSeen": "2026-01-02T03:04:05Z",
            "divergedFiles": 0, "divergedBytes": 0, "problem": "slow",
        }],
    });
    assert_eq!(serde_json::to_value(status(&node("a"))).unwrap(), expected);
}
