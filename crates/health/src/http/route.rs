//! From a path to an answer.

use std::time::Duration;

use hyper::{Method, StatusCode};

use super::answer::Reply;
use super::feed::FULL;
use super::{Answer, Node, parse_lag};
use crate::metrics::Format;

/// What is answered at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// `/`, `/events`, `/health`, `/ready`, `/primary`, `/replica`, `/status` and `/services`.
    Health,
    /// `/metrics`.
    Metrics,
    /// Both: they have the same address.
    Both,
}

impl Offer {
    fn health(self) -> bool {
        match self {
            Self::Health | Self::Both => true,
            Self::Metrics => false,
        }
    }

    fn metrics(self) -> bool {
        match self {
            Self::Metrics | Self::Both => true,
            Self::Health => false,
        }
    }

    fn paths(self) -> &'static str {
        match self {
            Self::Health => "/, /events, /health, /ready, /primary, /replica, /status, /services",
            Self::Metrics => "/metrics",
            Self::Both => {
                "/, /events, /health, /ready, /primary, /replica, /status, /services, /metrics"
            }
        }
    }
}

/// One request, without what nobody looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) accept: &'a str,
}

pub(super) async fn answer<N: Node>(node: &N, offer: Offer, asked: Asked<'_>) -> Reply {
    let known = match asked.path {
        "/" | "/events" | "/health" | "/ready" | "/primary" | "/replica" | "/status"
        | "/services" => offer.health(),
        "/metrics" => offer.metrics(),
        _ => false,
    };
    if !known {
        let words = format!("nothing is here: ask for {}", offer.paths());
        return Reply::Whole(Answer::words(StatusCode::NOT_FOUND, &words));
    }
    if asked.method != Method::GET && asked.method != Method::HEAD {
        let words = "only GET and HEAD are answered";
        return Reply::Whole(Answer::words(StatusCode::METHOD_NOT_ALLOWED, words));
    }
    match asked.path {
        "/" => Reply::Page(node.page()),
        // Whoever asks for the head only does not watch.
        "/events" if asked.method == Method::HEAD => Reply::Whole(Answer::events("")),
        "/events" => match node.watch() {
            Some(watching) => Reply::Events(watching),
            None => Reply::Whole(Answer::events(FULL)),
        },
        _ => Reply::Whole(whole(node, asked).await),
    }
}

async fn whole<N: Node>(node: &N, asked: Asked<'_>) -> Answer {
    match asked.path {
        "/health" => Answer::words(StatusCode::OK, "the daemon is alive"),
        "/ready" => Answer::of(node.serves().await, "the backend serves"),
        "/primary" => Answer::of(primary(node).await, "this node is the primary and serves"),
        "/replica" => replica(node, asked.query),
        "/status" => match node.status().await {
            Ok(status) => Answer::json(StatusCode::OK, &status),
            Err(unknown) => Answer::json(StatusCode::SERVICE_UNAVAILABLE, &unknown),
        },
        "/services" => match node.services().await {
            Ok(services) => Answer::json(StatusCode::OK, &services),
            Err(why) => Answer::of(Err::<(), _>(why), ""),
        },
        _ => metrics(node, asked.accept).await,
    }
}

async fn primary<N: Node>(node: &N) -> Result<(), String> {
    node.leads()?;
    node.serves().await?;
    // The backend may have taken its time: the lease is looked at last.
    node.leads()
}

fn replica<N: Node>(node: &N, query: &str) -> Answer {
    let bound = match parse_lag(query) {
        Ok(bound) => bound.unwrap_or(Duration::MAX),
        Err(error) => return Answer::words(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let near = node.follows().and_then(|lag| {
        let (lag_ms, bound_ms) = (lag.as_millis(), bound.as_millis());
        if lag > bound {
            return Err(format!("the replica is {lag_ms} ms behind, more than {bound_ms} ms"));
        }
        Ok(lag_ms)
    });
    let yes = near.as_ref().map_or_else(|_| String::new(), |ms| format!("{ms} ms behind"));
    Answer::of(near, &yes)
}

async fn metrics<N: Node>(node: &N, accept: &str) -> Answer {
    let format = Format::accepted(accept);
    let body = format.write(&node.metrics().await);
    Answer { status: StatusCode::OK, content_type: format.content_type(), body }
}
