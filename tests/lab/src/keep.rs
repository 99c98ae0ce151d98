//! The process that holds a lab while somebody works with it by hand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ccm_lab::{Host, Lab, Options, Site, SiteOptions, wait_for};
use clap::Args;

use crate::talk::{self, Answer, Request, Verb};

/// How long a lab may take to come up; with ccm on it, it takes seconds.
const UP_WITHIN: Duration = Duration::from_secs(180);
/// How a lab by hand elects: the defaults of `ccm init`.
const TTL: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Keep {
    #[arg(long)]
    hosts: u8,
    #[arg(long)]
    bare: bool,
}

/// What is held.
#[derive(Debug)]
enum Held {
    Bare(Lab),
    Deployed(Site),
}

impl Held {
    fn lab(&self) -> &Lab {
        match self {
            Self::Bare(lab) => lab,
            Self::Deployed(site) => site.lab(),
        }
    }
}

/// Starts the process that holds a new lab and waits until it is up.
pub(crate) fn up(name: &str, hosts: u8, bare: bool) -> Result<()> {
    ensure!(talk::connect(name).is_none(), "a lab is up: `cargo xtask lab down` removes it");
    talk::folder()?;
    let log = std::fs::File::create(talk::log(name))?;
    let mut keep = Command::new(std::env::current_exe()?);
    keep.args(["--name", name, "keep", "--hosts", &hosts.to_string()]);
    if bare {
        keep.arg("--bare");
    }
    keep.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut keeping = keep.spawn()?;
    let up = wait_for(UP_WITHIN, "the lab to come up", || {
        match keeping.try_wait() {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return Some(Err(anyhow!("{}", printed(name)))),
        }
        talk::connect(name).map(|_| Ok(()))
    });
    up.and_then(|up| up)
}

/// What the process has printed, which is why it has ended.
fn printed(name: &str) -> String {
    let text = std::fs::read_to_string(talk::log(name)).unwrap_or_default();
    let text = text.trim();
    String::from(text.strip_prefix("error: ").unwrap_or(text))
}

/// Makes the lab and serves until it is told to go down.
pub(crate) fn run(name: &str, keep: &Keep) -> Result<()> {
    // Ctrl-C and the end of the terminal are for whoever sits there.
    rustix::process::setsid().context("could not leave the terminal")?;
    let lab = Lab::up(&Options { hosts: keep.hosts, program: std::env::current_exe()? })?;
    let held = if keep.bare {
        Held::Bare(lab)
    } else {
        let options = SiteOptions { ttl: TTL, heartbeat: HEARTBEAT, ..SiteOptions::default() };
        Held::Deployed(Site::deploy(lab, options)?)
    };
    let socket = talk::socket(name);
    let listener = listen(&socket)?;
    // One after the other: a verb finds the lab as the one before has left it.
    for stream in listener.incoming() {
        match stream.map_err(anyhow::Error::from).and_then(|stream| serve(&held, &stream)) {
            Ok(Then::Next) => {}
            Ok(Then::Down(stream)) => {
                drop(held);
                std::fs::remove_file(&socket)?;
                let done = Answer { text: String::from("down\n"), ..Answer::default() };
                return say(&stream, &done);
            }
            Err(error) => eprintln!("a request failed: {error:#}"),
        }
    }
    Ok(())
}

/// What follows a request.
#[derive(Debug)]
enum Then {
    Next,
    /// Somebody waits until nothing is left.
    Down(UnixStream),
}

/// A socket whose lab is dead makes room.
fn listen(socket: &Path) -> Result<UnixListener> {
    talk::folder()?;
    std::fs::remove_file(socket).ok();
    let listener = UnixListener::bind(socket);
    listener.with_context(|| format!("could not listen on {}", socket.display()))
}

/// One request.
fn serve(held: &Held, stream: &UnixStream) -> Result<Then> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        // Somebody looked whether there is a lab.
        return Ok(Then::Next);
    }
    let request: Request = serde_json::from_str(&line)?;
    if request.verb == Verb::Down {
        return Ok(Then::Down(stream.try_clone()?));
    }
    let answer = act(held, &request)
        .unwrap_or_else(|error| Answer { error: Some(format!("{error:#}")), ..Answer::default() });
    say(stream, &answer)?;
    Ok(Then::Next)
}

fn say(mut stream: &UnixStream, answer: &Answer) -> Result<()> {
    Ok(writeln!(stream, "{}", serde_json::to_string(answer)?)?)
}

fn act(held: &Held, request: &Request) -> Result<Answer> {
    let lab = held.lab();
    let host = || lab.host(request.host);
    let done = |what: &str, result: Result<()>| {
        result.map(|()| Answer {
            text: format!("node-{}: {what}\n", request.host),
            ..Answer::default()
        })
    };
    match request.verb {
        Verb::Status => Ok(Answer { text: lab.table(), ..Answer::default() }),
        Verb::Down => bail!("the lab goes down in another way"),
        Verb::Enter => Ok(Answer { entry: words(&host()?.command(&[])?)?, ..Answer::default() }),
        Verb::EnterClient => Ok(Answer { entry: lab.client().entry(), ..Answer::default() }),
        Verb::Cut => done("power cut", host()?.cut()),
        Verb::Boot => {
            let state = host()?.boot().and_then(|()| host()?.wait_running())?;
            Ok(Answer { text: format!("node-{}: {state}\n", request.host), ..Answer::default() })
        }
        Verb::Poweroff => done("off", host()?.power_off()),
        Verb::Freeze => done("frozen", host()?.freeze()),
        Verb::Thaw => done("goes on", host()?.thaw()),
        Verb::Unplug => done("no cable", host()?.unplug()),
        Verb::Plug => done("cable is back", host()?.plug()),
        Verb::Silence => done("silent", host()?.silence()),
        Verb::Mute => done("mute", host()?.mute()),
        Verb::Deafen => done("deaf", host()?.deafen()),
        Verb::Isolate => done("isolated", host()?.isolate()),
        Verb::Heal => done("healed", host()?.heal()),
        Verb::Island => done("on the island", host()?.island()),
        Verb::Mainland => done("on the mainland", host()?.mainland()),
        Verb::Console => {
            Ok(Answer { text: host().map(Host::console)? + "\n", ..Answer::default() })
        }
    }
}

/// A command as words for another process.
fn words(command: &Command) -> Result<Vec<String>> {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Option<Vec<String>> = all.map(|word| word.to_str().map(String::from)).collect();
    match words {
        Some(words) => Ok(words),
        None => bail!("a path that is not UTF-8"),
    }
}
