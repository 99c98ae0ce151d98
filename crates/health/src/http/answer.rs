//! What goes back.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::{Page, Watching};

/// Plain words.
const TEXT: &str = "text/plain; charset=utf-8";
/// A document.
const JSON: &str = "application/json";
/// A page.
const HTML: &str = "text/html; charset=utf-8";
/// Messages without end.
const EVENTS: &str = "text/event-stream";

/// Headers of every answer. What was measured once says nothing about later.
const HEADERS: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What goes back: a whole, or messages without end.
#[derive(Debug)]
pub(super) enum Reply {
    Whole(Answer),
    Page(Page),
    Events(Watching),
}

/// An answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body; not sent in answer to HEAD.
    pub body: String,
}

impl Answer {
    /// One line of words.
    pub(super) fn words(status: StatusCode, words: &str) -> Self {
        Self { status, content_type: TEXT, body: format!("{words}\n") }
    }

    /// A document, with a line end for people.
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self { status, content_type: JSON, body: format!("{value:#}\n") }
    }

    /// 200 for `Ok`, 503 with the reason for `Err`.
    pub(super) fn of<T>(held: Result<T, String>, yes: &str) -> Self {
        match held {
            Ok(_) => Self::words(StatusCode::OK, yes),
            Err(why) => Self::words(StatusCode::SERVICE_UNAVAILABLE, &why),
        }
    }

    /// The head of a stream of messages, and the messages that are there.
    pub(super) fn events(messages: &str) -> Self {
        Self { status: StatusCode::OK, content_type: EVENTS, body: String::from(messages) }
    }

    fn into_response(self) -> Response<Body> {
        let body = Full::new(Bytes::from(self.body)).boxed_unsync();
        let mut response = with_headers(body, self.content_type);
        *response.status_mut() = self.status;
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

impl Reply {
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Whole(answer) => answer.into_response(),
            Self::Page(Page { html, policy }) => {
                let body = Full::new(Bytes::from_static(html.as_bytes())).boxed_unsync();
                let mut response = with_headers(body, HTML);
                let policy = HeaderValue::from_static(policy);
                response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
                response
            }
            Self::Events(watching) => with_headers(watching.into_body(), EVENTS),
        }
    }
}

fn with_headers(body: Body, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
