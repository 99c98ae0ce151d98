//! A real Chromium without a window, driven over a pipe by its DevTools protocol.
//!
//! Source: <https://chromedevtools.github.io/devtools-protocol/>; `--remote-debugging-pipe` reads
//! messages that end in a zero byte from descriptor 3 and writes them to descriptor 4.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::chromium;
use crate::{PATIENCE, bound};

/// Between two looks at a page.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Makes the pipes that a child gets into descriptors 3 and 4, and itself into the program.
const PIPES: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >\"$LOG\" 2>&1";

/// Nothing but what the page asks for leaves the browser, and root may run it.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
    "--no-default-browser-check",
];

/// A browser with one page; killed when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What it told without being asked.
    told: Vec<Value>,
    dir: TempDir,
}

impl Browser {
    /// Starts one with an empty page as wide as a desk's.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("ccm-browser-").tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", PIPES, "sh"]).arg(chromium()).args(FLAGS);
        command.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
        command.arg("about:blank").env("LOG", dir.path().join("log"));
        let mut bound = bound(&command);
        bound.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = bound.spawn().unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (came, from) = channel();
        // Ends with the browser.
        std::thread::spawn(move || {
            let messages = BufReader::new(out).split(0).map_while(Result::ok);
            for message in messages.filter_map(|bytes| serde_json::from_slice(&bytes).ok()) {
                if came.send(message).is_err() {
                    return;
                }
            }
        });
        let (session, told) = (None, Vec::new());
        let mut browser = Self { child, to, from, last_id: 0, session, told, dir };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(String::from);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.size(1200, 900);
        browser
    }

    /// Loads a page.
    pub fn open(&mut self, url: &str) {
        let went = self.call("Page.navigate", &json!({ "url": url }));
        assert!(went["errorText"].is_null(), "could not load {url}: {went}");
    }

    /// How many CSS pixels the page has.
    pub fn size(&mut self, width: u32, height: u32) {
        let narrow = width < 600;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": if narrow { 2 } else { 1 },
            "mobile": narrow,
        });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Whether the system is in dark mode.
    pub fn dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// The value of an expression in the page; panics when it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// The text that a reader sees in the first element of a selector.
    pub fn text(&mut self, selector: &str) -> String {
        let of = json!(selector);
        let text = self.evaluate(&format!("document.querySelector({of})?.innerText ?? ''"));
        String::from(text.as_str().unwrap_or_default())
    }

    /// Waits until the text of `selector` satisfies `holds`; the text.
    pub fn wait_text(&mut self, selector: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text(selector);
            if holds(&text) {
                return text;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "{selector} never said it, last it said {text:?}; {}", self.log());
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Every address that was asked for.
    pub fn requests(&mut self) -> Vec<String> {
        let sent = self.events("Network.requestWillBeSent");
        let urls = sent.iter().filter_map(|sent| sent["request"]["url"].as_str());
        urls.map(String::from).collect()
    }

    /// What the page or the browser has complained of: exceptions, refusals, failed requests.
    pub fn complaints(&mut self) -> Vec<String> {
        let thrown = self.events("Runtime.exceptionThrown");
        let said = self.events("Runtime.consoleAPICalled");
        let logged = self.events("Log.entryAdded");
        let loud = |kind: &Value| kind == "error" || kind == "warning" || kind == "assert";
        let said = said.into_iter().filter(|said| loud(&said["type"]));
        let logged = logged.into_iter().filter(|logged| loud(&logged["entry"]["level"]));
        thrown.into_iter().chain(said).chain(logged).map(|one| one.to_string()).collect()
    }

    /// Saves a picture of the whole page as `NAME.png` where `CCM_TEST_PICTURES` says.
    pub fn picture(&mut self, name: &str) {
        let Some(dir) = std::env::var_os("CCM_TEST_PICTURES").map(PathBuf::from) else { return };
        let size = self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].clone();
        let clip = json!({
            "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1,
        });
        let asked = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", &asked);
        let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{name}.png")), picture).unwrap();
    }

    /// What was told of one kind until now.
    fn events(&mut self, method: &str) -> Vec<Value> {
        self.told.extend(self.from.try_iter());
        let of = self.told.iter().filter(|told| told["method"] == method);
        of.map(|told| told["params"].clone()).collect()
    }

    /// Asks for something and waits for the answer.
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let sent = self.to.write_all(format!("{message}\0").as_bytes());
        assert!(sent.is_ok(), "the browser has ended; {}", self.log());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let came = self.from.recv_timeout(left);
            let Ok(came) = came else { panic!("no answer to {method}; {}", self.log()) };
            if came["id"] == id {
                assert!(came["error"].is_null(), "{method} {params}: {}", came["error"]);
                return came["result"].clone();
            }
            self.told.push(came);
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        format!("it has logged: {}", String::from_utf8_lossy(&log))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself. Its children end when it does not answer them any more.
        self.child.kill().ok();
        self.child.wait().ok();
        crate::processes::kill_all_under(self.dir.path());
    }
}
