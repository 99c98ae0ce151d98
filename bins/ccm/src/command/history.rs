//! `ccm history`: what has happened in the cluster, and what happens.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use ccm_history::{Event, Filter, Follow, HistoryError, Listed, Reader, Start};
use jiff::Timestamp;
use serde_json::json;

use super::services::shown;
use crate::cli::Shared;
use crate::cli::history::History;
use crate::cluster::Cluster;
use crate::config::duration;
use crate::exit::{Ended, Exit, Failure};
use crate::{print, table};

/// One wait for what comes.
const WAIT: Duration = Duration::from_secs(60);

/// Between two tries while NATS is away.
const PAUSE: Duration = Duration::from_millis(500);

/// The columns; events that come later stand below those that were there.
const COLUMNS: [&str; 5] = ["AT", "NODE", "KIND", "EPOCH", "WHAT"];

/// The widths of the columns before the last while following.
const WIDTHS: [usize; 4] = [24, 12, 11, 5];

pub(crate) async fn run(shared: &Shared, asked: &History) -> Ended {
    let filter = filter(asked, Timestamp::now())?;
    let cluster = Cluster::connect(shared).await?;
    let reader = Reader::new(cluster.client.clone(), &cluster.settings.cluster);
    if asked.follow {
        let start = if asked.limit > 0 { Start::Newest(asked.limit) } else { Start::Now };
        return follow(shared, reader.follow(filter, start)).await;
    }
    let listed = reader.newest(&filter, asked.limit).await.map_err(failure)?;
    list(shared, &listed, reader.stream())
}

fn filter(asked: &History, now: Timestamp) -> Result<Filter, Failure> {
    let since = asked.since.as_deref().map(|text| since(text, now)).transpose()?;
    Ok(Filter { node: asked.node.clone(), kind: asked.kind, since })
}

/// A moment, or how long ago it was.
fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let ago = duration::parse(text).and_then(|ago| now.checked_sub(ago).ok());
    ago.or_else(|| text.parse().ok()).ok_or_else(|| {
        Failure::usage(format!(
            "--since {text:?} is neither a moment nor a duration: write it like \
             2026-11-24T13:00:00Z, or like 90m or 24h for that long ago"
        ))
    })
}

fn list(shared: &Shared, listed: &Listed, stream: &str) -> Ended {
    let Listed { events, ignored } = listed;
    if shared.json {
        print::json(&json!({ "events": events, "ignored": ignored }))?;
        return Ok(Exit::Done);
    }
    if *ignored > 0 {
        print::error(&format!("warning: ignored in {stream}, no events: {ignored}"));
    }
    let mut cells = vec![COLUMNS.map(String::from).to_vec()];
    cells.extend(events.iter().map(|event| self::cells(event).to_vec()));
    print::text(&(table::lines(&cells).join("\n") + "\n"))?;
    Ok(Exit::Done)
}

async fn follow(shared: &Shared, mut follow: Follow) -> Ended {
    let mut away = false;
    if !shared.json {
        print::line(&line(&COLUMNS.map(String::from)))?;
    }
    loop {
        let seen = match follow.next(WAIT).await {
            Ok(seen) => seen,
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut away, true) {
                    print::error(&format!("warning: {error}: following on"));
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(failure(error)),
        };
        if std::mem::take(&mut away) {
            print::error("NATS answers again");
        }
        let Some(seen) = seen else { continue };
        let line = if shared.json {
            serde_json::to_string(&seen.event).map_err(anyhow::Error::from)?
        } else {
            line(&cells(&seen.event))
        };
        match writeln!(std::io::stdout(), "{line}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
            written => written?,
        }
    }
}

fn cells(event: &Event) -> [String; 5] {
    let Event { at, node, kind, epoch, message, details: _ } = event;
    let epoch = epoch.map_or_else(|| String::from("-"), |epoch| epoch.to_string());
    [format!("{at:.3}"), node.to_string(), kind.to_string(), epoch, shown(message)]
}

fn line(cells: &[String; 5]) -> String {
    let [at, node, kind, epoch, what] = cells;
    let [a, b, c, d] = WIDTHS;
    format!("{at:<a$}  {node:<b$}  {kind:<c$}  {epoch:<d$}  {what}")
}

fn failure(error: HistoryError) -> Failure {
    let exit = if error.is_transient() { Exit::NatsUnreachable } else { Exit::Internal };
    Failure::new(exit, error)
}

#[cfg(test)]
mod tests {
    use ccm_history::{BackendNews, What};
    use ccm_types::{Epoch, NodeId};

    use super::*;

    #[test]
    fn since_is_a_moment_or_a_time_that_has_passed() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let table = [
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05+01:00", Some("2026-01-02T02:04:05Z")),
            ("90m", Some("2026-01-02T10:30:00Z")),
            ("2026-01-02", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in table {
            let read = since(text, now).ok().map(|at| at.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn an_event_is_one_line_without_anything_that_a_terminal_obeys() {
        let at = "2026-01-02T03:04:05.6789Z".parse().unwrap();
        let what = What::Backend(BackendNews::Restarted);
        let node = NodeId::new("node-1").unwrap();
        let mut event = Event::new(at, node, Some(Epoch::new(3)), &what);
        let expected = "2026-01-02T03:04:05.678Z  node-1        backend      3      the backend \
                        of node-1 serves again";
        assert_eq!(line(&cells(&event)), expected);
        event.message = String::from("a\u{1b}[2Jb");
        event.epoch = None;
        assert!(line(&cells(&event)).ends_with("-      a\u{fffd}[2Jb"));
    }
}
