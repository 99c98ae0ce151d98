//! The page, in one piece, and what it may do in a browser.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const HTML: &str = include_str!("../page/page.html");
const STYLE: &str = include_str!("../page/page.css");
const SCRIPT: &str = include_str!("../page/page.js");

/// Where style and script go in the HTML.
const STYLE_HERE: &str = "/* style */";
const SCRIPT_HERE: &str = "/* script */";

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// HTML with its style and its script in it: it asks for nothing but `/events`.
    pub html: String,
    /// The `Content-Security-Policy` that lets it do what it does, and nothing else.
    pub policy: String,
}

/// The page that shows what it gets from `/events`: every message the JSON of a [`crate::Shown`].
#[must_use]
pub fn page() -> &'static Page {
    static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
        html: HTML.replace(STYLE_HERE, STYLE).replace(SCRIPT_HERE, SCRIPT),
        policy: format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src \
             data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(SCRIPT),
            hash(STYLE)
        ),
    });
    &PAGE
}

/// What a policy calls exactly this text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_piece_that_names_no_other_place() {
        let Page { html, policy } = page();
        assert!(html.contains(STYLE) && html.contains(SCRIPT));
        assert!(!html.contains(STYLE_HERE) && !html.contains(SCRIPT_HERE));
        // Of addresses only the name of SVG, which nobody asks.
        let addresses: Vec<&str> = html.match_indices("http").map(|(at, _)| &html[at..]).collect();
        assert!(addresses.iter().all(|text| text.starts_with("http://www.w3.org/2000/svg")));
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        for word in [" style=", " onclick=", " onload=", " src="] {
            assert!(!HTML.contains(word), "{word}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
