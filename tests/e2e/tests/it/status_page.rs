//! The status page of real clusters in a real browser.

use ccm_harness::{Browser, Cluster, ClusterOptions};
use serde_json::json;

use crate::machine::beside_others;
use crate::monitoring::{address, listen};
use crate::services::offer;

/// Whether the page can be moved sideways at a width.
const TOO_WIDE: &str = "document.documentElement.scrollWidth > window.innerWidth";

/// A cluster with services and endpoints: the node that serves, and the one that follows.
fn start() -> (Cluster, usize, usize) {
    let mut cluster = Cluster::prepare(ClusterOptions::default());
    for node in &mut cluster.nodes {
        listen(node);
        offer(node);
        node.start();
    }
    let first = cluster.wait_serving();
    cluster.wait_follows(1 - first);
    (cluster, first, 1 - first)
}

/// Where the page of a node is.
fn origin(cluster: &Cluster, index: usize) -> String {
    format!("http://{}/", address(&cluster.nodes[index], "health"))
}

/// Nothing left the page's own origin, and nobody has complained.
fn assert_quiet(browser: &mut Browser, origin: &str) {
    let own = |url: &String| url.starts_with(origin) || url.starts_with("data:");
    let foreign: Vec<String> = browser.requests().into_iter().filter(|url| !own(url)).collect();
    assert!(foreign.is_empty(), "asked elsewhere: {foreign:?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Loads the page once; whoever reloads it loses the mark.
fn open(browser: &mut Browser, origin: &str) {
    browser.open(origin);
    browser.wait_text("#live", |text| text.starts_with("live, measured"));
    browser.evaluate("window.loadedOnce = true");
}

#[test]
fn the_page_shows_the_cluster_and_every_move_of_it_without_a_reload() {
    let _turn = beside_others();
    let (mut cluster, first, other) = start();
    let [led, follows] = [first, other].map(|index| cluster.nodes[index].name.clone());
    let origin = origin(&cluster, other);
    let mut browser = Browser::start();
    open(&mut browser, &origin);
    let says = |name: &str| format!("{name} is PRIMARY and serves");
    browser.wait_text("#headline", |text| text.contains(&says(&led)));
    browser.wait_text("#facts", |text| text.contains("PASSIVE") && text.contains("epoch 1"));
    browser.wait_text("#nodes", |text| text.contains(&led) && text.contains("this node"));
    browser.wait_text("#services", |text| text.contains("standby") && text.contains("passing"));
    browser.wait_text("#lease-left", |text| text.ends_with(" s"));
    browser.wait_text("#legend", |text| text.contains(&format!("{led}: ")));
    let drawn = "document.querySelectorAll('#lag polyline[points]').length";
    assert!(browser.evaluate(drawn).as_u64() >= Some(2), "no line for each node");

    cluster.switchover(first, other).ok();
    browser.wait_text("#headline", |text| text.contains(&says(&follows)));
    browser.wait_text("#facts", |text| text.contains("epoch 2"));
    browser.wait_text("#lease-words", |text| text.starts_with("until it ends"));
    browser.wait_text("#notices", str::is_empty);
    browser.wait_text("#events", |text| text.contains("gave the leadership"));
    browser.picture("moved");

    cluster.kill_host(first);
    let silent = format!("{led} has fallen silent");
    browser.wait_text("#notices", |text| text.contains(&silent));
    browser.wait_text("#nodes", |text| text.contains("last said PASSIVE"));
    assert_eq!(browser.evaluate("window.loadedOnce"), json!(true));
    assert_quiet(&mut browser, &origin);
}

#[test]
fn the_page_is_read_on_a_phone_and_in_the_dark() {
    let _turn = beside_others();
    let (cluster, _, other) = start();
    let origin = origin(&cluster, other);
    let mut browser = Browser::start();
    open(&mut browser, &origin);
    browser.wait_text("#services", |text| text.contains("passing"));
    let back = "getComputedStyle(document.body).backgroundColor";
    let light = browser.evaluate(back);
    browser.picture("light");
    browser.size(360, 740);
    assert_eq!(browser.evaluate(TOO_WIDE), json!(false), "at 360 pixels");
    // A table is no wider than the page: each cell says what it is.
    browser.wait_text("#nodes", |text| text.contains("PASSIVE"));
    browser.picture("phone");
    browser.dark(true);
    browser.picture("phone-dark");
    browser.size(1200, 900);
    assert_ne!(browser.evaluate(back), light, "the same in the dark");
    browser.picture("dark");
    assert_quiet(&mut browser, &origin);
}

#[test]
fn the_page_says_that_nats_is_away_and_that_its_node_is() {
    let _turn = beside_others();
    let (mut cluster, first, other) = start();
    let [led, follows] = [first, other].map(|index| cluster.nodes[index].name.clone());
    let origin = origin(&cluster, other);
    let mut browser = Browser::start();
    open(&mut browser, &origin);
    browser.wait_text("#services", |text| text.contains("passing"));
    cluster.nats.kill();
    let away = format!("NATS is not reachable from {follows}");
    browser.wait_text("#notices", |text| text.contains(&away));
    browser.wait_text("#headline", |text| text.contains("It is not known who leads"));
    let row = browser.wait_text("#nodes", |text| text.contains("last said PRIMARY"));
    assert!(row.contains(&led) && row.contains("unknown"), "{row}");
    browser.wait_text("#services", |text| text.contains("unknown, was passing"));
    browser.wait_text("#facts", |text| text.contains("what NATS has by now is not known"));
    browser.picture("without-nats");
    browser.size(360, 740);
    assert_eq!(browser.evaluate(TOO_WIDE), json!(false), "at 360 pixels");
    browser.size(1200, 900);

    cluster.nats.restart();
    browser.wait_text("#headline", |text| text.contains("is PRIMARY and serves"));
    browser.wait_text("#notices", |text| !text.contains("NATS is not reachable"));
    assert_quiet(&mut browser, &origin);

    cluster.kill_host(other);
    browser.wait_text("#stale", |text| text.starts_with(&format!("No connection to {follows}")));
    assert_eq!(browser.text("#lease-left"), "unknown");
    assert_eq!(browser.text("#live"), "connection lost");
    assert!(browser.evaluate("document.title").as_str().unwrap().contains("is not heard of"));
    browser.picture("node-away");
    assert_eq!(browser.evaluate("window.loadedOnce"), json!(true));
}

#[test]
fn the_page_is_there_before_nats_is_reached() {
    let _turn = beside_others();
    let mut cluster = Cluster::prepare(ClusterOptions { nodes: 1, ..ClusterOptions::default() });
    listen(&cluster.nodes[0]);
    cluster.nodes[0]
        .edit_config(|config| config["nats"]["servers"] = json!(["nats://u:secret@127.0.0.1:9"]));
    cluster.nodes[0].start();
    let origin = origin(&cluster, 0);
    let mut browser = Browser::start();
    open(&mut browser, &origin);
    let text = browser.wait_text("#notices", |text| text.contains("NATS was not reached yet"));
    assert!(text.contains("127.0.0.1:9") && !text.contains("secret"), "{text}");
    browser.wait_text("#headline", |text| text.contains("It is not known who leads"));
    browser.wait_text("#nodes", |text| text.contains("stopped"));
    browser.picture("before-nats");
    assert_quiet(&mut browser, &origin);
}
