//! JSON with comments, in which every value knows where it stands.

/// Values may be nested so deep; the configuration needs four levels.
const DEPTH_MAX: usize = 16;

/// A place in the file; both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Something is wrong with the text or with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where; `None` for what is missing.
    pub(crate) place: Option<Place>,
    /// What, and what to do about it.
    pub(crate) what: String,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

impl Value {
    /// The kind of value, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// A key of an object, where it stands, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// Reads one value; `//` to the end of the line and `/* */` count as space.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.value(0)?;
    parser.space()?;
    match parser.peek() {
        None => Ok(node),
        Some(found) => {
            Err(parser.problem(parser.at, &format!("nothing may follow, not {found:?}")))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Byte offset of what comes next.
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.rfind('\n').map_or(before, |end| &before[end + 1..]);
        Place { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }

    fn problem(&self, at: usize, what: &str) -> Problem {
        Problem { place: Some(self.place(at)), what: String::from(what) }
    }

    /// The words for "this should be here instead".
    fn expected(&self, what: &str) -> Problem {
        let found = self.peek().map_or(String::from("the end of the file"), |c| format!("{c:?}"));
        self.problem(self.at, &format!("expected {what}, found {found}"))
    }

    fn space(&mut self) -> Result<(), Problem> {
        loop {
            let rest = self.rest();
            let blank = |c: char| c.is_ascii_whitespace() || c == '\u{feff}';
            let spaces = rest.len() - rest.trim_start_matches(blank).len();
            let rest = &rest[spaces..];
            let comment = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").map(|end| end + 2);
                let open = self.problem(self.at + spaces, "this comment does not end: write */");
                end.ok_or(open)?
            } else {
                0
            };
            self.at += spaces + comment;
            if comment == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, token: char) -> bool {
        let there = self.peek() == Some(token);
        if there {
            self.at += token.len_utf8();
        }
        there
    }

    fn value(&mut self, depth: usize) -> Result<Node, Problem> {
        self.space()?;
        let place = self.place(self.at);
        if depth > DEPTH_MAX {
            return Err(self.problem(self.at, "nested too deep"));
        }
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Value::Text(self.text()?),
            Some(c) if c.is_ascii_alphanumeric() || c == '-' => self.word()?,
            Some(_) | None => return Err(self.expected("a value")),
        };
        Ok(Node { place, value })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        self.take('{');
        self.space()?;
        while !self.take('}') {
            if !entries.is_empty() {
                self.comma('}')?;
            }
            let place = self.place(self.at);
            if self.peek() != Some('"') {
                return Err(self.expected("a key in double quotes"));
            }
            let at = self.at;
            let key = self.text()?;
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let what = format!("{key} is given twice, first at line {}", first.place.line);
                return Err(self.problem(at, &what));
            }
            self.space()?;
            if !self.take(':') {
                return Err(self.expected("':'"));
            }
            let node = self.value(depth + 1)?;
            entries.push(Entry { key, place, node });
            self.space()?;
        }
        Ok(Value::Object(entries))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut nodes = Vec::new();
        self.take('[');
        self.space()?;
        while !self.take(']') {
            if !nodes.is_empty() {
                self.comma(']')?;
            }
            nodes.push(self.value(depth + 1)?);
            self.space()?;
        }
        Ok(Value::List(nodes))
    }

    /// The comma before the next element; none before the end.
    fn comma(&mut self, end: char) -> Result<(), Problem> {
        let at = self.at;
        if !self.take(',') {
            return Err(self.expected(&format!("',' or '{end}'")));
        }
        self.space()?;
        if self.peek() == Some(end) {
            return Err(self.problem(at, &format!("no comma before '{end}'")));
        }
        Ok(())
    }

    /// A string, whose escapes `serde_json` knows.
    fn text(&mut self) -> Result<String, Problem> {
        let (start, mut escaped) = (self.at, false);
        let end = self.rest().char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends || c == '\n'
        });
        let Some((length, '"')) = end else {
            return Err(self.problem(start, "this string does not end on its line: write \""));
        };
        let literal = &self.rest()[..=length];
        let text = serde_json::from_str(literal).map_err(|_| {
            self.problem(start, "this string has an escape that JSON does not know")
        })?;
        self.at += length + 1;
        Ok(text)
    }

    /// A number, or one of the words that JSON knows.
    fn word(&mut self) -> Result<Value, Problem> {
        let rest = self.rest();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
        let word = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => Value::Number(serde_json::from_str(number).map_err(|_| {
                self.problem(self.at, &format!("{number} is not a value: strings need quotes"))
            })?),
        };
        self.at += word.len();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let problem = parse(text).unwrap_err();
        let place = problem.place.unwrap();
        format!("{}:{} {}", place.line, place.column, problem.what)
    }

    #[test]
    fn comments_are_space_and_slashes_in_strings_are_not_comments() {
        let text =
            "// first\n{ /* a\n b */ \"u\": \"nats://x:1//y /* z */\", // end\n \"n\": 3 }//";
        let Value::Object(entries) = parse(text).unwrap().value else { panic!("not an object") };
        assert_eq!(entries[0].node.value, Value::Text(String::from("nats://x:1//y /* z */")));
        assert_eq!(entries[0].place, Place { line: 3, column: 7 });
        assert_eq!(entries[1].place, Place { line: 4, column: 2 });
        assert_eq!(entries[1].node.place, Place { line: 4, column: 7 });
    }

    #[test]
    fn escapes_are_read_as_json_reads_them() {
        let Value::Text(text) = parse(r#""a\"b\\ \u00e4\n""#).unwrap().value else {
            panic!("not a string")
        };
        assert_eq!(text, "a\"b\\ ä\n");
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        let table = [
            ("", "1:1 expected a value, found the end of the file"),
            ("{ \"clusterId\": ", "1:16 expected a value, found the end of the file"),
            ("{\n  \"a\": 1\n  \"b\": 2 }", "3:3 expected ',' or '}', found '\"'"),
            ("{ \"a\": 1, }", "1:9 no comma before '}'"),
            ("[1, 2,]", "1:6 no comma before ']'"),
            ("{ a: 1 }", "1:3 expected a key in double quotes, found 'a'"),
            ("{ \"a\" 1 }", "1:7 expected ':', found '1'"),
            ("{ \"a\": yes }", "1:8 yes is not a value: strings need quotes"),
            ("{ \"a\": 1, \"a\": 2 }", "1:11 a is given twice, first at line 1"),
            ("{ \"ä\": \"x\n\" }", "1:8 this string does not end on its line: write \""),
            ("{ \"a\": \"\\q\" }", "1:8 this string has an escape that JSON does not know"),
            ("{} x", "1:4 nothing may follow, not 'x'"),
            ("{ /* x", "1:3 this comment does not end: write */"),
            (&"[".repeat(100), "1:18 nested too deep"),
        ];
        for (text, expected) in table {
            assert_eq!(problem(text), expected, "{text}");
        }
    }
}
