//! One JSON object a line. The keys are stable: docs/systemd.md.

use std::io::Write as _;

use serde_json::{Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{self, Layer};

use super::Context;
use super::event::Said;

/// Writes to standard error.
#[derive(Debug)]
pub(super) struct JsonLines {
    context: Context,
}

impl JsonLines {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let time = jiff::Timestamp::now().to_string();
        let line = format!("{}\n", object(&time, &Said::of(event), &self.context));
        // What cannot be written there cannot be told anywhere.
        std::io::stderr().lock().write_all(line.as_bytes()).ok();
    }
}

/// A key is there even when nothing is known, and null then.
fn object(time: &str, said: &Said, context: &Context) -> Value {
    let place = context.place();
    json!({
        "time": time,
        "level": said.level.as_str(),
        "message": said.message,
        "target": said.target,
        "cluster": context.cluster,
        "node": context.node,
        "role": place.role,
        "epoch": place.epoch,
        "fields": said.fields,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{context, event};
    use super::*;

    #[test]
    fn a_line_is_one_object_with_stable_keys() {
        let said = event::said(|| tracing::warn!(target: "t", problem = "two\nlines", "it fails"));
        let [said] = said.as_slice() else { panic!("{said:?}") };
        let expected = "{\"time\":\"now\",\"level\":\"WARN\",\"message\":\"it fails\",\
                        \"target\":\"t\",\"cluster\":\"c\",\"node\":\"n\",\"role\":\"PRIMARY\",\
                        \"epoch\":7,\"fields\":{\"problem\":\"two\\nlines\"}}";
        assert_eq!(object("now", said, &context::primary()).to_string(), expected);
    }
}
