//! How the verbs reach the process that holds the lab: one line of JSON each way, over a socket
//! that only root may open.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

/// Where labs are found.
const FOLDER: &str = "/run/ccm-lab";

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verb {
    Status,
    Enter,
    EnterClient,
    Cut,
    Boot,
    Poweroff,
    Freeze,
    Thaw,
    Unplug,
    Plug,
    Silence,
    Mute,
    Deafen,
    Isolate,
    Heal,
    Island,
    Mainland,
    Console,
    Down,
}

/// A request; the host is 0 where none is meant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) host: u8,
}

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// For people.
    pub(crate) text: String,
    /// The beginning of a command line that enters a host.
    pub(crate) entry: Vec<String>,
    /// Why nothing was done.
    pub(crate) error: Option<String>,
}

/// The folder of sockets and logs, made.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = PathBuf::from(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {FOLDER}"))?;
    Ok(folder)
}

/// The socket of a lab.
pub(crate) fn socket(name: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(format!("{name}.sock"))
}

/// What the process that holds a lab has printed.
pub(crate) fn log(name: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(format!("{name}.log"))
}

/// A connection to a lab; `None` where there is none.
pub(crate) fn connect(name: &str) -> Option<UnixStream> {
    UnixStream::connect(socket(name)).ok()
}

/// Asks, and waits for the answer.
pub(crate) fn ask(name: &str, request: &Request) -> Result<Answer> {
    let no_lab = || anyhow!("no lab is up: `cargo xtask lab up` makes one");
    let mut stream = connect(name).ok_or_else(no_lab)?;
    writeln!(stream, "{}", serde_json::to_string(request)?)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer: Answer = serde_json::from_str(&line).context("the lab has ended meanwhile")?;
    match answer.error {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}
