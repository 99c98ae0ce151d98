//! One event of the log, taken apart.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// What an event says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) file: Option<&'static str>,
    pub(super) line: Option<u32>,
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
}

impl Said {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut said = Self {
            level: *metadata.level(),
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
            message: String::new(),
            fields: Map::new(),
        };
        event.record(&mut said);
        said
    }

    /// The message and the fields, for people.
    pub(super) fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(&plain(value));
        }
        text
    }

    fn note(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = plain(&value);
        } else {
            self.fields.insert(String::from(field.name()), value);
        }
    }
}

/// A value without the quotes of JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, Value::from(value));
    }
}

/// Keeps what was said under a subscriber with nothing else.
#[cfg(test)]
pub(super) fn said(log: impl FnOnce()) -> Vec<Said> {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    struct Keeping(Arc<Mutex<Vec<Said>>>);

    impl<S: Subscriber> Layer<S> for Keeping {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(Said::of(event));
        }
    }

    let kept = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Keeping(Arc::clone(&kept)));
    tracing::subscriber::with_default(subscriber, log);
    std::mem::take(&mut *kept.lock().unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_message_and_fields_with_their_types() {
        let said = said(|| {
            let (role, epoch, list) = ("PRIMARY", Some(7_u64), ["a"]);
            tracing::info!(%role, epoch, took = -1_i64, flag = true, ?list, "the {}", "role");
        });
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(said.message, "the role");
        assert_eq!(said.text(), "the role role=PRIMARY epoch=7 took=-1 flag=true list=[\"a\"]");
        assert_eq!(said.fields["epoch"], 7);
        assert_eq!(said.fields["flag"], true);
        assert_eq!(said.fields["list"], "[\"a\"]");
        assert!(said.line.is_some() && said.file.is_some());
    }
}
