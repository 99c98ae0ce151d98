//! The history in a real nats-server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_harness::wait::until_async;
use ccm_history::{
    AGE_MAX, BYTES_MAX, BackendNews, Event, Filter, Follow, History, Kind, MESSAGES_MAX,
    RECENT_MAX, Reader, Refusal, RoleChange, Stage, Start, WAITING_MAX, What,
};
use ccm_types::{ClusterId, Epoch, NodeId, RoleName};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
const STREAM: &str = "convex-test-history";

fn cluster() -> ClusterId {
    ClusterId::new("test").unwrap()
}

fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn role(reason: &str) -> What {
    What::Role(RoleChange { role: RoleName::Passive, reason: String::from(reason) })
}

async fn connect(server: &NatsServer) -> async_nats::Client {
    let options =
        async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50));
    options.connect(server.url()).await.unwrap()
}

async fn reader(server: &NatsServer) -> Reader {
    Reader::new(connect(server).await, &cluster())
}

/// A daemon's handle, at work for as long as the set lives.
async fn daemon(server: &NatsServer, name: &str, running: &mut JoinSet<()>) -> History {
    let history = History::new(cluster(), node(name), nuid::next().to_string());
    running.spawn(history.clone().run(connect(server).await, 1));
    history
}

fn messages(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.message.as_str()).collect()
}

async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    until_async(PATIENCE, what, tokio::time::sleep, || std::future::ready(look())).await
}

fn delete(server: &NatsServer) {
    let deleted = server.request(&format!("$JS.API.STREAM.DELETE.{STREAM}"), &json!({}));
    assert_eq!(deleted["success"], true, "{deleted}");
}

/// The next event; what is away meanwhile is waited for.
async fn next(follow: &mut Follow) -> Event {
    let waiting = async {
        loop {
            match follow.next(Duration::from_secs(1)).await {
                Ok(Some(seen)) => return seen.event,
                Ok(None) => {}
                Err(error) if error.is_transient() => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn what_two_nodes_record_is_kept_with_bounds_and_read_by_whoever_asks() {
    let server = NatsServer::start();
    let reader = reader(&server).await;
    assert_eq!(reader.newest(&Filter::default(), 10).await.unwrap().events, []);
    let mut running = JoinSet::new();
    let one = daemon(&server, "node-1", &mut running).await;
    let two = daemon(&server, "db2.example.com", &mut running).await;
    one.record(at(1), None, &role("first"));
    assert!(one.flush(PATIENCE).await);
    two.record(at(2), Some(Epoch::new(3)), &What::Backend(BackendNews::Restarted));
    assert!(two.flush(PATIENCE).await);
    // It happened before, and is published later.
    one.record(at(0), Some(Epoch::new(2)), &role("late"));
    assert!(one.flush(PATIENCE).await);
    assert_eq!((one.counted().published, one.counted().waiting, one.counted().dropped), (2, 0, 0));

    let info = server.request(&format!("$JS.API.STREAM.INFO.{STREAM}"), &json!({}));
    let config = &info["config"];
    assert_eq!(config["subjects"], json!(["convex.test.history.>"]));
    assert_eq!(config["max_age"], json!(u64::try_from(AGE_MAX.as_nanos()).unwrap()));
    assert_eq!(
        (&config["max_bytes"], &config["max_msgs"]),
        (&json!(BYTES_MAX), &json!(MESSAGES_MAX))
    );
    assert_eq!(config["discard"], "old");

    let all = reader.newest(&Filter::default(), 10).await.unwrap();
    let (late, first) = ("node-1 is PASSIVE: late", "node-1 is PASSIVE: first");
    let restarted = "the backend of db2.example.com serves again";
    assert_eq!((messages(&all.events), all.ignored), (vec![late, first, restarted], 0));
    assert_eq!(all.events[0].epoch, Some(Epoch::new(2)));
    let of = |node_id: Option<&str>, kind, since: Option<i64>| Filter {
        node: node_id.map(node),
        kind,
        since: since.map(at),
    };
    let table = [
        (of(None, None, None), 1, vec![late]),
        (of(None, None, None), 2, vec![late, restarted]),
        (of(Some("node-1"), None, None), 10, vec![late, first]),
        (of(Some("db2.example.com"), None, None), 10, vec![restarted]),
        (of(Some("db2"), None, None), 10, vec![]),
        (of(None, Some(Kind::Role), None), 10, vec![late, first]),
        (of(None, Some(Kind::Refused), None), 10, vec![]),
        (of(None, None, Some(1)), 10, vec![first, restarted]),
        (of(Some("node-1"), Some(Kind::Role), Some(1)), 10, vec![first]),
        (of(None, None, Some(3)), 10, vec![]),
    ];
    for (filter, limit, expected) in table {
        let listed = reader.newest(&filter, limit).await.unwrap();
        assert_eq!(messages(&listed.events), expected, "{filter:?} {limit}");
    }

    // When nothing is as new as that, nobody waits for it.
    let since = Some(Timestamp::now() + Duration::from_secs(24 * 3600));
    let none = reader.newest(&Filter { since, ..Filter::default() }, 10).await.unwrap();
    assert_eq!(none.events, []);

    // Each daemon knows of both.
    for history in [&one, &two] {
        let recent = until("the events of both", || {
            Some(history.recent()).filter(|recent| recent.len() == 3)
        });
        assert_eq!(messages(&recent.await), [late, first, restarted]);
    }
}

#[tokio::test]
async fn what_happens_while_nats_is_away_is_kept_and_published_with_its_time() {
    let mut server = NatsServer::start();
    let mut running = JoinSet::new();
    let history = daemon(&server, "node-1", &mut running).await;
    let mut changed = history.changed();
    history.record(at(0), None, &role("before"));
    assert!(history.flush(PATIENCE).await);
    let watching = reader(&server).await;
    let mut follow = watching.follow(Filter::default(), Start::Now);
    assert!(follow.next(Duration::from_millis(50)).await.unwrap().is_none());
    server.kill();
    changed.mark_unchanged();
    history.record(at(1), None, &role("away"));
    history.record(at(2), None, &role("still away"));
    assert!(changed.has_changed().unwrap());
    // In memory at once.
    assert_eq!(
        messages(&history.recent())[1..],
        ["node-1 is PASSIVE: away", "node-1 is PASSIVE: still away"]
    );
    assert!(!history.flush(Duration::from_millis(50)).await);
    assert_eq!(history.counted().waiting, 2);
    server.restart();
    assert!(history.flush(PATIENCE).await);
    let listed = watching.newest(&Filter::default(), 10).await.unwrap();
    let times: Vec<Timestamp> = listed.events.iter().map(|event| event.at).collect();
    assert_eq!(times, [at(0), at(1), at(2)]);
    // Whoever follows is told of everything, through the outage.
    assert_eq!(next(&mut follow).await.at, at(1));
    assert_eq!(next(&mut follow).await.at, at(2));
    history.record(at(3), None, &role("after"));
    assert_eq!(next(&mut follow).await.at, at(3));
}

#[tokio::test]
async fn an_event_that_is_tried_again_is_stored_once() {
    let server = NatsServer::start();
    let client = connect(&server).await;
    let mut running = JoinSet::new();
    let first = daemon(&server, "node-1", &mut running).await;
    first.record(at(0), None, &role("first"));
    assert!(first.flush(PATIENCE).await);
    // An answer that was lost: the event is there already under the id that comes next.
    let history = History::new(cluster(), node("node-1"), "instance");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "node-1-instance-1");
    let event = Event::new(at(1), node("node-1"), None, &role("second"));
    let subject = "convex.test.history.node-1.role";
    let payload = serde_json::to_vec(&event).unwrap();
    client.request_with_headers(subject, headers, payload.into()).await.unwrap();
    running.spawn(history.clone().run(client, 1));
    history.record(at(1), None, &role("second"));
    history.record(at(2), None, &role("third"));
    assert!(history.flush(PATIENCE).await);
    let listed = reader(&server).await.newest(&Filter::default(), 10).await.unwrap();
    let times: Vec<Timestamp> = listed.events.iter().map(|event| event.at).collect();
    assert_eq!(times, [at(0), at(1), at(2)]);
    let recent =
        until("the first event", || Some(history.recent()).filter(|recent| recent.len() >= 3));
    assert_eq!(recent.await, listed.events);
}

#[tokio::test]
async fn garbage_is_ignored_and_counted() {
    let server = NatsServer::start();
    let mut running = JoinSet::new();
    let history = daemon(&server, "node-1", &mut running).await;
    history.record(at(0), None, &role("first"));
    assert!(history.flush(PATIENCE).await);
    let client = connect(&server).await;
    let event = Event::new(at(1), node("node-1"), None, &role("of another"));
    for (subject, payload) in [
        ("convex.test.history.node-1.role", String::from("{ nonsense")),
        ("convex.test.history.node-2.role", serde_json::to_string(&event).unwrap()),
        ("convex.test.history.a.b.c", String::new()),
    ] {
        client.request(subject, payload.into()).await.unwrap();
    }
    history.record(at(2), None, &role("last"));
    until("the ignored ones", || (history.counted().ignored == 2).then_some(())).await;
    let reader = reader(&server).await;
    let listed = reader.newest(&Filter::default(), 10).await.unwrap();
    let expected = ["node-1 is PASSIVE: first", "node-1 is PASSIVE: last"];
    assert_eq!((messages(&listed.events), listed.ignored), (expected.to_vec(), 2));
    let filter = Filter { node: Some(node("node-2")), ..Filter::default() };
    let listed = reader.newest(&filter, 10).await.unwrap();
    assert_eq!((listed.events.len(), listed.ignored), (0, 1));
}

#[tokio::test]
async fn too_much_is_dropped_and_counted_and_recording_never_waits() {
    let history = History::new(cluster(), node("node-1"), "i");
    for number in 0..WAITING_MAX + 5 {
        history.record(at(i64::try_from(number).unwrap()), None, &role("again"));
    }
    let counted = history.counted();
    assert_eq!((counted.dropped, counted.waiting), (5, WAITING_MAX as u64));
    assert_eq!(history.recent().len(), RECENT_MAX);
    let server = NatsServer::start();
    let mut running = JoinSet::new();
    running.spawn(history.clone().run(connect(&server).await, 1));
    assert!(history.flush(PATIENCE).await);
    let listed = reader(&server).await.newest(&Filter::default(), 2 * WAITING_MAX).await.unwrap();
    assert_eq!(listed.events.len(), WAITING_MAX);
    assert_eq!(listed.events[0].at, at(5));
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_left_alone() {
    let server = NatsServer::start();
    let config = json!({ "name": STREAM, "subjects": ["mine.>"] });
    let made = server.request(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &config);
    assert!(made["error"].is_null(), "{made}");
    let mut running = JoinSet::new();
    let history = daemon(&server, "node-1", &mut running).await;
    let why = String::from("because");
    let refusal = Refusal { stage: Stage::Command, why, phases: ccm_history::Phases::default() };
    history.record(at(0), None, &What::Refused(refusal));
    assert!(!history.flush(Duration::from_millis(100)).await);
    assert_eq!(history.recent().len(), 1);
    let info = server.request(&format!("$JS.API.STREAM.INFO.{STREAM}"), &json!({}));
    assert_eq!(info["state"]["messages"], 0);
    // Its owner removes it: the history is recorded after all.
    delete(&server);
    assert!(history.flush(PATIENCE).await);
}

#[tokio::test]
async fn who_follows_goes_on_with_a_stream_that_has_taken_the_place_of_another() {
    let server = NatsServer::start();
    let mut running = JoinSet::new();
    let history = daemon(&server, "node-1", &mut running).await;
    for second in 0..3 {
        history.record(at(second), None, &role("first"));
    }
    assert!(history.flush(PATIENCE).await);
    let reader = reader(&server).await;
    let mut follow = reader.follow(Filter::default(), Start::Newest(2));
    assert_eq!(next(&mut follow).await.at, at(1));
    assert_eq!(next(&mut follow).await.at, at(2));
    delete(&server);
    history.record(at(4), None, &role("second"));
    assert!(history.flush(PATIENCE).await);
    assert_eq!(next(&mut follow).await.at, at(4));
}
