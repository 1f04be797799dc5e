//! One HTML file that needs nothing else: style, script and figures stand in it, and its content security policy lets
//! nothing be fetched and no other script run.

use std::fmt::{self, Display, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::chart::Chart;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// HTML under construction. Markup is literal in the program, everything else is escaped: there is no third way in.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// Markup of this program.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Any text, escaped for content and for quoted attributes.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        let mut escaping = Escaping(&mut self.0);
        // Writing to a string cannot fail, and a `Display` that does has said all it will.
        let _ = write!(escaping, "{text}");
        self
    }

    /// Places for all of `charts`, in the order in which the page gets them.
    pub fn charts(&mut self, charts: &[Chart]) -> &mut Self {
        self.raw(r#"<div class="charts">"#);
        for chart in charts {
            self.raw(r#"<figure class="chart card"><figcaption><b>"#).text(&chart.title);
            self.raw("</b> <span>").text(&chart.note).raw("</span></figcaption>");
            self.raw(r#"<div class="plot"></div><div class="legend"></div></figure>"#);
        }
        self.raw("</div>")
    }
}

struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Control characters other than line breaks are not HTML.
                control if control.is_control() && control != '\n' => self.0.push('\u{fffd}'),
                plain => self.0.push(plain),
            }
        }
        Ok(())
    }
}

/// The whole file. `charts` are those that `body` made places for, in that order.
pub fn document(title: &str, body: &Markup, charts: &[&Chart]) -> serde_json::Result<String> {
    let mut page = Markup::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
    page.text(digest(STYLE)).raw("'; script-src 'sha256-").text(digest(SCRIPT)).raw("'\">\n<title>");
    page.text(title).raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n<main>\n");
    page.0.push_str(&body.0);
    page.raw("\n</main>\n<script type=\"application/json\" id=\"charts\">");
    // Inside a script element only `<` could end it early.
    page.0.push_str(&serde_json::to_string(charts)?.replace('<', "\\u003c"));
    page.raw("</script>\n<script>").raw(SCRIPT).raw("</script>\n</body>\n</html>\n");
    Ok(page.0)
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::{Series, Unit};

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let hostile = r#"</script><script>alert("1")</script><img src=x onerror='alert(2)'>&"#;
        let chart = Chart::over_time(hostile, hostile, Unit::Count).with(Series::new(hostile, vec![(0.0, 1.0)]));
        let mut body = Markup::default();
        body.raw("<p>").text(hostile).raw("</p>").charts(std::slice::from_ref(&chart));
        let page = document(hostile, &body, &[&chart]).unwrap();
        assert_eq!(page.matches("<script").count(), 2, "the data and the page's own");
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<img"));
        assert!(page.contains("&lt;img src=x onerror=&#39;alert(2)&#39;&gt;&amp;"));
    }

    #[test]
    fn the_page_asks_for_nothing() {
        let page = document("t", &Markup::default(), &[]).unwrap();
        assert!(page.contains("default-src 'none'"));
        for way_out in ["src=", "href=", "@import", "url(", "fetch("] {
            assert!(!page.contains(way_out), "{way_out}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_page() {
        let mut body = Markup::default();
        body.text("a\u{0}b\u{1b}[31m\nc");
        assert_eq!(body.0, "a\u{fffd}b\u{fffd}[31m\nc");
    }
}
