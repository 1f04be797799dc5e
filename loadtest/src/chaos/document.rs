//! What remains of a run: a JSON document, and a page for people.

use std::{fmt::Write, fs, path::Path};

use anyhow::Context;
use serde::Serialize;

use super::{
    conductor::Happened,
    schedule::Topology,
    verdict::{Outcome, Verdict},
};
use crate::record::Percentiles;

/// A chaos run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) topology: Topology,
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    pub(crate) sdk_clients: usize,
    pub(crate) started_at_ms: u64,
    pub(crate) duration_ms: u64,
    /// `release` or `debug`.
    pub(crate) build: &'static str,
    pub(crate) acknowledged: u64,
    pub(crate) uncertain: u64,
    /// Connections made by all clients.
    pub(crate) connects: u64,
    /// Publish to delivery in quiet phases.
    pub(crate) quiet_delivery: Percentiles,
    /// The same at any time, storms included.
    pub(crate) delivery: Percentiles,
    pub(crate) faults: Vec<Happened>,
    pub(crate) verdicts: Vec<Verdict>,
    /// What went wrong with the run itself; with any, the run is not to be believed.
    pub(crate) failures: Vec<String>,
}

impl Document {
    /// Nothing is broken, and the run went as planned.
    pub(crate) fn passed(&self) -> bool {
        self.failures.is_empty() && self.verdicts.iter().all(|verdict| verdict.outcome != Outcome::Broken)
    }

    /// Writes `chaos-<topology>.json` and `.html`.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let file = |ending: &str| directory.join(format!("chaos-{}.{ending}", self.topology));
        let json = serde_json::to_string_pretty(self)?;
        for (path, text) in [(file("json"), json), (file("html"), self.page())] {
            fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
        }
        Ok(())
    }

    /// Lines for a terminal.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for verdict in &self.verdicts {
            line(&mut text, &verdict.lines());
        }
        for failure in &self.failures {
            line(&mut text, &format!("  !! the run itself: {failure}"));
        }
        let ms = |us: u64| us / 1_000;
        line(
            &mut text,
            &format!(
                "{} publishes acknowledged, {} uncertain, {} connections made; publish to delivery in quiet phases: median {} ms, \
                 p99 {} ms, of {} messages; in storms too: p99 {} ms, longest {} ms",
                self.acknowledged,
                self.uncertain,
                self.connects,
                ms(self.quiet_delivery.p50_us),
                ms(self.quiet_delivery.p99_us),
                self.quiet_delivery.count,
                ms(self.delivery.p99_us),
                ms(self.delivery.max_us)
            ),
        );
        text
    }

    fn page(&self) -> String {
        let mut rows = String::new();
        for verdict in &self.verdicts {
            let list = |items: &[String], class: &str| {
                let items: Vec<String> =
                    items.iter().map(|item| format!("<li class={class}>{}</li>", escaped(item))).collect();
                items.concat()
            };
            let _ = write!(
                rows,
                "<tr class={outcome:?}><td>{promise}<td><b>{word}</b><td>{claim}<ul>{breaches}{facts}</ul>",
                outcome = verdict.outcome,
                promise = verdict.promise,
                word = verdict.outcome.word(),
                claim = escaped(verdict.claim),
                breaches = list(&verdict.breaches, "breach"),
                facts = list(&verdict.facts, "fact"),
            );
        }
        let length = self.duration_ms.max(1);
        let faults = self.faults.iter().map(|happened| {
            let left = happened.at_ms * 1_000 / length;
            let width = ((happened.until_ms - happened.at_ms) * 1_000 / length).max(3);
            format!(
                "<div class=fault><span class=bar style='margin-left:{}.{}%;width:{}.{}%'></span><span>{} s: {}</span></div>",
                left / 10,
                left % 10,
                width / 10,
                width % 10,
                happened.at_ms / 1_000,
                escaped(&happened.fault.to_string())
            )
        });
        let faults: String = faults.collect();
        let failures: Vec<String> = self
            .failures
            .iter()
            .map(|failure| format!("<p class=breach>The run itself: {}</p>", escaped(failure)))
            .collect();
        let failures = failures.concat();
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Chaos: {topology}</title><style>{STYLE}</style>\
             <h1>{verdict}</h1><p>{clients} clients ({sdk} of them the shipped one) for {seconds} s on three edges, two emitters and \
             Redis ({topology}), seed {seed}, {build} build.</p>{failures}<table>{rows}</table>\
             <h2>Faults</h2>{faults}<h2>Figures</h2><pre>{figures}</pre></html>",
            topology = self.topology,
            verdict = if self.passed() { "Every promise that was judged held" } else { "A promise was broken" },
            clients = self.clients,
            sdk = self.sdk_clients,
            seconds = self.duration_ms / 1_000,
            seed = self.seed,
            build = self.build,
            figures = escaped(self.summary().lines().last().unwrap_or_default()),
        )
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;\
    background:light-dark(#fff,#14171a);color:light-dark(#1c2024,#e4e7ea);color-scheme:light dark}\
    table{border-collapse:collapse;width:100%}td{border-top:1px solid #8884;padding:.4rem .6rem;vertical-align:top}\
    ul{margin:.2rem 0;padding-left:1.1rem;font-size:13px}.fact{opacity:.75}.breach{color:#d33;font-weight:600}\
    .Held b{color:#2a8f4d}.Broken b{color:#d33}.NotJudged b{opacity:.6}\
    .fault{position:relative;font-size:12px;height:1.5em}.fault .bar{position:absolute;height:1.1em;background:#d338;border-radius:2px}\
    .fault span+span{position:relative;padding-left:.3rem}pre{white-space:pre-wrap}";

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{ledger::Ledger, verdict::judge};

    fn document() -> Document {
        Document {
            topology: Topology::Sentinel,
            seed: 1,
            clients: 10,
            sdk_clients: 1,
            started_at_ms: 0,
            duration_ms: 1_000,
            build: "debug",
            acknowledged: 0,
            uncertain: 0,
            connects: 0,
            quiet_delivery: Percentiles::default(),
            delivery: Percentiles::default(),
            faults: Vec::new(),
            verdicts: judge(&Ledger::default()),
            failures: Vec::new(),
        }
    }

    #[test]
    fn a_broken_promise_or_a_failed_run_does_not_pass() {
        let mut broken = document();
        assert!(broken.passed());
        broken.verdicts[3].outcome = Outcome::Broken;
        assert!(!broken.passed());
        let failed = Document { failures: vec!["no".into()], ..document() };
        assert!(!failed.passed());
    }

    #[test]
    fn the_page_shows_each_verdict_and_escapes_what_it_quotes() {
        let mut document = document();
        document.verdicts[0].breaches.push("<script>".into());
        let page = document.page();
        for promise in 1..=10 {
            assert!(page.contains(&format!("<td>G{promise}<")), "G{promise}");
        }
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
    }
}
