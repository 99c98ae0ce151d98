//! What goes back.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

/// Plain words.
const TEXT: &str = "text/plain; charset=utf-8";
/// A document.
const JSON: &str = "application/json";

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

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // What was measured once says nothing about later.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
