//! What a NATS micro service says of itself: PING, INFO and STATS of the standard protocol
//! (NATS ADR-32), with every field that other languages' clients insist on. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

/// The queue group of every endpoint.
pub(crate) const QUEUE_GROUP: &str = "q";

/// What the protocol's subjects begin with.
const PREFIX: &str = "$SRV";

/// A question of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    pub(crate) const ALL: [Self; 3] = [Self::Ping, Self::Info, Self::Stats];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        }
    }

    /// Where it is asked: of everybody, of the services of this name, of this one.
    pub(crate) fn subjects(self, identity: &Identity) -> [String; 3] {
        let (verb, Identity { name, id, .. }) = (self.as_str(), identity);
        [
            format!("{PREFIX}.{verb}"),
            format!("{PREFIX}.{verb}.{name}"),
            format!("{PREFIX}.{verb}.{name}.{id}"),
        ]
    }
}

/// Who answers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) metadata: BTreeMap<&'static str, String>,
}

/// One endpoint and what it has done.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) description: &'static str,
    pub(crate) counted: Counted,
}

/// What an endpoint has done since the service began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    requests: u64,
    errors: u64,
    last_error: Option<String>,
    processing: Duration,
}

impl Counted {
    /// A request was answered after so long, or with this error.
    pub(crate) fn note(&mut self, took: Duration, error: Option<&Failed>) {
        self.requests += 1;
        self.processing += took;
        if let Some(Failed { code, words }) = error {
            self.errors += 1;
            self.last_error = Some(format!("{code}:{words}"));
        }
    }

    fn average(&self) -> Duration {
        match self.requests {
            0 => Duration::ZERO,
            requests => Duration::from_nanos(nanos(self.processing) / requests),
        }
    }
}

/// Why a request was not done, as the protocol's headers say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// As in HTTP.
    pub(crate) code: u16,
    /// One line.
    pub(crate) words: String,
}

impl Failed {
    pub(crate) fn new(code: u16, words: &str) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Self { code, words: words.chars().map(plain).collect() }
    }
}

/// The answer to a question.
pub(crate) fn answer(
    verb: Verb,
    identity: &Identity,
    description: &str,
    started: &str,
    endpoints: &[Endpoint],
) -> Value {
    let mut answer = json!(identity);
    answer["type"] = match verb {
        Verb::Ping => json!("io.nats.micro.v1.ping_response"),
        Verb::Info => {
            answer["description"] = json!(description);
            answer["endpoints"] = endpoints.iter().map(info).collect();
            json!("io.nats.micro.v1.info_response")
        }
        Verb::Stats => {
            answer["started"] = json!(started);
            answer["endpoints"] = endpoints.iter().map(stats).collect();
            json!("io.nats.micro.v1.stats_response")
        }
    };
    answer
}

fn info(endpoint: &Endpoint) -> Value {
    let Endpoint { name, subject, description, .. } = endpoint;
    json!({
        "name": name,
        "subject": subject,
        "queue_group": QUEUE_GROUP,
        "metadata": { "description": description },
    })
}

fn stats(endpoint: &Endpoint) -> Value {
    let Endpoint { name, subject, counted, .. } = endpoint;
    json!({
        "name": name,
        "subject": subject,
        "queue_group": QUEUE_GROUP,
        "num_requests": counted.requests,
        "num_errors": counted.errors,
        "last_error": counted.last_error.as_deref().unwrap_or_default(),
        "processing_time": nanos(counted.processing),
        "average_processing_time": nanos(counted.average()),
        "data": null,
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            name: String::from("n"),
            id: String::from("i"),
            version: String::from("1.2.3"),
            metadata: [("node_id", String::from("a.b"))].into(),
        }
    }

    #[test]
    fn the_answers_have_every_field_of_the_protocol() {
        let mut counted = Counted::default();
        counted.note(Duration::from_nanos(300), None);
        counted.note(Duration::from_nanos(101), Some(&Failed::new(409, "not\ntoday")));
        let endpoint = Endpoint {
            name: String::from("control-leave"),
            subject: String::from("s.control.leave"),
            description: "leaves",
            counted,
        };
        let asked =
            |verb| answer(verb, &identity(), "a daemon", "then", std::slice::from_ref(&endpoint));
        let of_all = |more: Value| {
            let mut all = json!({
                "name": "n", "id": "i", "version": "1.2.3", "metadata": { "node_id": "a.b" },
            });
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let ping = of_all(json!({ "type": "io.nats.micro.v1.ping_response" }));
        assert_eq!(asked(Verb::Ping), ping);
        let info = of_all(json!({
            "type": "io.nats.micro.v1.info_response", "description": "a daemon",
            "endpoints": [{
                "name": "control-leave", "subject": "s.control.leave", "queue_group": "q",
                "metadata": { "description": "leaves" },
            }],
        }));
        assert_eq!(asked(Verb::Info), info);
        let stats = of_all(json!({
            "type": "io.nats.micro.v1.stats_response", "started": "then",
            "endpoints": [{
                "name": "control-leave", "subject": "s.control.leave", "queue_group": "q",
                "num_requests": 2, "num_errors": 1, "last_error": "409:not today",
                "processing_time": 401, "average_processing_time": 200, "data": null,
            }],
        }));
        assert_eq!(asked(Verb::Stats), stats);
    }

    #[test]
    fn every_question_is_asked_in_three_places() {
        let subjects = Verb::Stats.subjects(&identity());
        assert_eq!(subjects, ["$SRV.STATS", "$SRV.STATS.n", "$SRV.STATS.n.i"]);
    }
}
