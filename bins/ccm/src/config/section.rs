//! Typed access to the keys of one object, with errors that name the key's full path.

use std::path::PathBuf;
use std::time::Duration;

use super::json::{Entry, Node, Place, Problem, Value};

/// Milliseconds that a key may have at most: a year.
const MILLIS_MAX: u64 = 366 * 24 * 3_600_000;

/// The keys of one object.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    /// The path of the object, with a dot at the end; empty at the top.
    path: String,
    entries: &'a [Entry],
    /// Where the object begins; `None` when the file does not have it.
    place: Option<Place>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(crate) fn top(node: &'a Node) -> Result<Self, Problem> {
        if let Value::Object(entries) = &node.value {
            return Ok(Self { path: String::new(), entries, place: Some(node.place) });
        }
        let what = format!("the configuration must be an object, not {}", node.value.kind());
        Err(Problem { place: Some(node.place), what })
    }

    /// The object at `key`; without keys when it is not there.
    pub(crate) fn section(&self, key: &str) -> Result<Self, Problem> {
        let path = format!("{}{key}.", self.path);
        let Some(node) = self.get(key) else { return Ok(Self { path, entries: &[], place: None }) };
        let Value::Object(entries) = &node.value else {
            return Err(self.typed(key, "an object", node));
        };
        Ok(Self { path, entries, place: Some(node.place) })
    }

    /// Whether the file has this object.
    pub(crate) fn is_there(&self) -> bool {
        self.place.is_some()
    }

    /// The keys that are there.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }

    /// Refuses keys other than these.
    pub(crate) fn allow(&self, known: &[&str]) -> Result<(), Problem> {
        let Some(entry) = self.entries.iter().find(|e| !known.contains(&e.key.as_str())) else {
            return Ok(());
        };
        let hint = match nearest(&entry.key, known) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known here are {}", known.join(", ")),
        };
        let what = format!("unknown key {}{}: {hint}", self.path, entry.key);
        Err(Problem { place: Some(entry.place), what })
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Whether the file has this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// `key` is wrong: `<path> <what>`, at its value, else at its object.
    pub(crate) fn wrong(&self, key: &str, what: &str) -> Problem {
        let place = self.get(key).map(|node| node.place).or(self.place);
        Problem { place, what: format!("{}{key} {what}", self.path) }
    }

    /// The object itself is wrong.
    pub(crate) fn wrong_here(&self, what: &str) -> Problem {
        let what = format!("{}: {what}", self.path.trim_end_matches('.'));
        Problem { place: self.place, what }
    }

    /// `key` is not there: `<path> is required`.
    pub(crate) fn missing(&self, key: &str, hint: &str) -> Problem {
        Problem { place: None, what: format!("{}{key} is required{hint}", self.path) }
    }

    fn typed(&self, key: &str, wanted: &str, node: &Node) -> Problem {
        self.wrong(key, &format!("must be {wanted}, not {}", node.value.kind()))
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, Problem> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::Text(text) = &node.value else {
            return Err(self.typed(key, "a string", node));
        };
        if text.is_empty() { Err(self.wrong(key, "may not be empty")) } else { Ok(Some(text)) }
    }

    /// A string that something else understands; `None` when the key is not there.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let wrong = |error| self.wrong(key, &format!("is {text:?}: {error}"));
        parse(text).map(Some).map_err(wrong)
    }

    /// True or false.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, Problem> {
        match self.get(key).map(|node| (node, &node.value)) {
            None => Ok(default),
            Some((_, Value::Bool(flag))) => Ok(*flag),
            Some((node, _)) => Err(self.typed(key, "true or false", node)),
        }
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number(
        &self,
        key: &str,
        (least, most): (u64, u64),
    ) -> Result<Option<u64>, Problem> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::Number(number) = &node.value else {
            return Err(self.typed(key, "a whole number", node));
        };
        match number.as_u64() {
            Some(n) if (least..=most).contains(&n) => Ok(Some(n)),
            Some(_) | None => {
                let what = format!("is {number}: it must be a whole number, {least} to {most}");
                Err(self.wrong(key, &what))
            }
        }
    }

    /// Milliseconds, at least `least`.
    pub(crate) fn millis(&self, key: &str, least: u64, default: u64) -> Result<Duration, Problem> {
        let millis = self.number(key, (least, MILLIS_MAX))?;
        Ok(Duration::from_millis(millis.unwrap_or(default)))
    }

    /// An absolute path.
    pub(crate) fn path(&self, key: &str) -> Result<Option<PathBuf>, Problem> {
        self.parsed(key, |text| {
            let path = PathBuf::from(text);
            if !path.is_absolute() {
                return Err("it must be an absolute path");
            }
            if text.ends_with('/') {
                return Err("it must be a file, not a folder");
            }
            Ok(path)
        })
    }

    /// A list of strings that are not empty.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, Problem> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::List(nodes) = &node.value else {
            return Err(self.typed(key, "a list of strings", node));
        };
        let mut texts = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let Value::Text(text) = &node.value else {
                let what = format!("must be a string, not {}", node.value.kind());
                return Err(self.wrong_at(key, index, &what));
            };
            texts.push(text.as_str());
        }
        Ok(Some(texts))
    }

    /// Element `index` of the list `key` is wrong.
    pub(crate) fn wrong_at(&self, key: &str, index: usize, what: &str) -> Problem {
        let mut problem = self.wrong(&format!("{key}[{index}]"), what);
        if let Some(Value::List(nodes)) = self.get(key).map(|node| &node.value) {
            problem.place = nodes.get(index).map(|node| node.place);
        }
        problem
    }
}

/// The known key that was probably meant.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = key.to_lowercase();
    let distance = |k: &str| strsim::damerau_levenshtein(&lower, &k.to_lowercase());
    let (distance, near) = known.iter().map(|&k| (distance(k), k)).min()?;
    (distance <= key.chars().count().max(3) / 3 + 1).then_some(near)
}
