//! The micro service as nats-py sees it: a client of another language, with its own reading of the
//! standard protocol.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use std::time::Duration;

use ccm_control::{Pong, Request, Service};
use ccm_harness::{NatsServer, bound, nats_py};
use ccm_types::{ClusterId, NodeId};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long Python may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Finds every service, asks it things, and prints what nats-py has understood.
const CLIENT: &str = r#"
import asyncio, json, sys
import nats
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

async def ask(nc, subject, read):
    answer = json.loads((await nc.request(subject, b"", timeout=20)).data)
    return {"type": answer["type"], **read.from_dict(answer).to_dict()}

async def request(nc, end):
    answer = await nc.request("convex.test.svc.db1=2Eexample=2Ecom." + end, b"", timeout=20)
    headers = answer.headers or {}
    return {
        "code": headers.get("Nats-Service-Error-Code"),
        "error": headers.get("Nats-Service-Error"),
        "data": json.loads(answer.data),
    }

async def main(url):
    nc = await nats.connect(url)
    ping = await ask(nc, "$SRV.PING", ServicePing)
    by_name = await ask(nc, "$SRV.PING." + ping["name"], ServicePing)
    info = await ask(nc, "$SRV.INFO.%s.%s" % (ping["name"], ping["id"]), ServiceInfo)
    before = await ask(nc, "$SRV.STATS", ServiceStats)
    asked = [await request(nc, end) for end in ("ping", "ping", "control.leave")]
    # An answer that cannot be sent must not end the service.
    await nc.publish("$SRV.PING", b"", reply="not..a.subject")
    after = await ask(nc, "$SRV.STATS." + ping["name"], ServiceStats)
    await nc.close()
    print(json.dumps({
        "ping": ping, "byName": by_name, "info": info, "before": before, "asked": asked,
        "after": after,
    }, default=str))

asyncio.run(main(sys.argv[1]))
"#;

/// Answers pings, and refuses to leave.
async fn answer(mut queue: mpsc::Receiver<Request>) {
    while let Some(request) = queue.recv().await {
        match request {
            Request::Ping(reply) => {
                let node_id = NodeId::new("db1.example.com").unwrap();
                let (instance, version) = (String::from("i"), String::from("0.1.0"));
                reply.send(Pong { node_id, instance, version }).unwrap();
            }
            Request::Leave(reply) => reply.send(Err(String::from("not\ntoday"))).unwrap(),
            Request::Status(_)
            | Request::Demote(..)
            | Request::Promote(_)
            | Request::Snapshot(..) => {}
        }
    }
}

async fn python(url: &str) -> Value {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", nats_py()).args(["-c", CLIENT, url]);
    let mut python = bound(&python);
    python.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = tokio::task::spawn_blocking(move || python.output().unwrap());
    let output = tokio::time::timeout(WITHIN, running).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn endpoint<'a>(told: &'a Value, name: &str) -> &'a Value {
    let endpoints = told["endpoints"].as_array().unwrap();
    endpoints.iter().find(|endpoint| endpoint["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_languages_client_finds_the_service_and_reads_what_it_says_of_itself() {
    let server = NatsServer::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let (requests, queue) = mpsc::channel(4);
    let (cluster, node) =
        (ClusterId::new("test").unwrap(), NodeId::new("db1.example.com").unwrap());
    let service = Service::start(client, &cluster, &node, requests).await.unwrap();
    let mut answering = JoinSet::new();
    answering.spawn(answer(queue));
    let told = python(&server.url()).await;

    let name = service.name();
    assert_eq!(name, "convex-test-db1_example_com");
    let metadata = json!({ "cluster_id": "test", "node_id": "db1.example.com" });
    let id = told["ping"]["id"].as_str().unwrap();
    assert!(id.len() >= 20, "{id}");
    for (which, kind) in
        [("ping", "ping"), ("byName", "ping"), ("info", "info"), ("after", "stats")]
    {
        let said = &told[which];
        assert_eq!(said["type"], format!("io.nats.micro.v1.{kind}_response"), "{said:#}");
        assert_eq!((&said["name"], &said["id"]), (&json!(name), &json!(id)), "{said:#}");
        assert_eq!(said["version"], env!("CARGO_PKG_VERSION"), "{said:#}");
        assert_eq!(said["metadata"], metadata, "{said:#}");
    }
    assert_eq!(told["info"]["description"], "a ccm daemon: one node of a cluster");
    let leave = endpoint(&told["info"], "control-leave");
    assert_eq!(leave["subject"], "convex.test.svc.db1=2Eexample=2Ecom.control.leave");
    assert_eq!(leave["queue_group"], "q");
    assert!(leave["metadata"]["description"].as_str().unwrap().contains("leave"), "{leave}");
    assert_eq!(told["info"]["endpoints"].as_array().unwrap().len(), 6);

    assert_eq!(told["asked"][0]["data"]["nodeId"], "db1.example.com");
    assert_eq!(told["asked"][0]["error"], Value::Null);
    let refused = &told["asked"][2];
    assert_eq!((&refused["code"], &refused["error"]), (&json!("409"), &json!("not today")));
    assert_eq!(refused["data"], json!({ "ok": false, "error": "not\ntoday" }));

    let counted = |which: &str, name: &str| {
        let endpoint = endpoint(&told[which], name);
        (endpoint["num_requests"].as_u64().unwrap(), endpoint["num_errors"].as_u64().unwrap())
    };
    assert_eq!((counted("before", "ping"), counted("before", "control-leave")), ((0, 0), (0, 0)));
    assert_eq!((counted("after", "ping"), counted("after", "control-leave")), ((2, 0), (1, 1)));
    let ping = endpoint(&told["after"], "ping");
    let (all, average) = (&ping["processing_time"], &ping["average_processing_time"]);
    assert!(all.as_u64().unwrap() > 0 && average.as_u64().unwrap() == all.as_u64().unwrap() / 2);
    assert_eq!(endpoint(&told["after"], "control-leave")["last_error"], "409:not today");
    assert_eq!(ping["last_error"], "");
    service.stop().await;
}
