//! A run as one HTML file.

use std::collections::BTreeMap;

use super::{
    figures::{bytes, count, length_ms, moment, rate, three, time_us},
    page::{Markup, document},
    plots::{charts, label},
};
use crate::{
    record::{Measure, ProcessSeries, RunRecord, ThresholdVerdict},
    thresholds::{cpu_measured_s, delivered_per_s, servers_cpu_per_delivery_us},
};

/// Renders `record`.
pub fn render(record: &RunRecord) -> serde_json::Result<String> {
    let mut page = Markup::default();
    header(&mut page, record);
    notes(&mut page, record);
    tiles(&mut page, record);
    thresholds(&mut page, &record.thresholds);
    let charts = charts(record);
    page.raw("<h2>Course of the run</h2>").charts(&charts);
    distributions(&mut page, record);
    ledger(&mut page, record);
    processes(&mut page, record);
    reasons(&mut page, record);
    faults(&mut page, record);
    facts(&mut page, record);
    page.raw("<footer>Latency counts from the moment a message was due, so that a generator or a server that stalls cannot hide it. ");
    page.raw("Times are of the generator's clock alone.</footer>");
    let title = format!("{} · Tickwire load test", record.run.scenario);
    document(&title, &page, &charts.iter().collect::<Vec<_>>())
}

fn header(page: &mut Markup, record: &RunRecord) {
    let run = &record.run;
    page.raw(r#"<header><div><p class="kicker">Tickwire load test</p><h1>"#).text(&run.scenario);
    if let Some(connections) = run.settings.get("connections") {
        page.raw(r#" <span class="soft">· "#).text(connections).raw(" connections</span>");
    }
    page.raw(r#"</h1><p class="soft">"#).text(moment(run.started_at_ms)).raw(" · ").text(length_ms(run.duration_ms));
    page.raw(" · ").text(&run.machine.host).raw("</p></div>");
    let missed = record.thresholds.iter().filter(|verdict| !verdict.passed).count();
    match (record.thresholds.len(), missed) {
        (0, _) => page.raw(r#"<div class="verdict unmeasured">No thresholds</div>"#),
        (1, 0) => page.raw(r#"<div class="verdict passed">✓ Passed</div>"#),
        (all, 0) => page.raw(r#"<div class="verdict passed">✓ Passed all "#).text(all).raw("</div>"),
        (all, missed) => {
            page.raw(r#"<div class="verdict failed">✗ Missed "#).text(missed).raw(" of ").text(all).raw("</div>")
        }
    };
    page.raw("</header>");
}

/// What a reader must know before any figure.
fn notes(page: &mut Markup, record: &RunRecord) {
    let bottleneck = record.generator.was_bottleneck.then_some(
        "The generator itself was at its limit: latencies are at least partly its own, and throughput is a lower bound.",
    );
    let notes: Vec<&str> = bottleneck
        .into_iter()
        .chain(record.generator.reasons.iter().map(String::as_str))
        .chain(record.notes.iter().map(String::as_str))
        .collect();
    if notes.is_empty() {
        return;
    }
    page.raw(r#"<ul class="notes card">"#);
    for note in notes {
        page.raw("<li>").text(note).raw("</li>");
    }
    page.raw("</ul>");
}

fn tile(page: &mut Markup, what: &'static str, value: &str, under: &str) {
    page.raw(r#"<div class="tile card"><dt>"#).raw(what).raw("</dt><dd>");
    // The unit stands smaller beside its figure.
    match value.rsplit_once(' ') {
        Some((figure, unit)) => page.text(figure).raw(" <small>").text(unit).raw("</small>"),
        None => page.text(value),
    };
    page.raw(r#"</dd><div class="under">"#).text(under).raw("</div></div>");
}

fn tiles(page: &mut Markup, record: &RunRecord) {
    let totals = &record.totals;
    page.raw(r#"<dl class="tiles">"#);
    if let Some(distribution) = record.distribution(Measure::Delivery) {
        let figures = distribution.percentiles();
        let under = format!("p50 {} · max {}", time_us(figures.p50_us as f64), time_us(figures.max_us as f64));
        tile(page, "Delivery, p99", &time_us(figures.p99_us as f64), &under);
    }
    let per_s = delivered_per_s(record).unwrap_or_default();
    tile(page, "Delivered a second", &rate(per_s), &format!("{} in all", count(totals.delivered)));
    let peak = record.seconds.iter().map(|second| second.connected).max().unwrap_or_default();
    tile(page, "Connected, greatest", &count(peak), &format!("{} reconnects", count(totals.reconnects)));
    let wrong = totals.lost + totals.duplicated + totals.disordered + totals.stale;
    let under = if wrong == totals.lost {
        format!("of {} owed", count(totals.expected))
    } else {
        format!("and {} doubled, {} late", count(totals.duplicated), count(totals.disordered + totals.stale))
    };
    tile(page, "Lost", &count(totals.lost), &under);
    let under = format!("of {}", count(totals.recoveries));
    tile(page, "Failed recoveries", &count(totals.recoveries_failed), &under);
    if let Some(us) = servers_cpu_per_delivery_us(record) {
        let own = time_us(record.generator.cpu_per_delivery_us);
        tile(page, "CPU a delivery", &time_us(us), &format!("servers; generator {own}"));
    }
    page.raw("</dl>");
}

fn thresholds(page: &mut Markup, verdicts: &[ThresholdVerdict]) {
    if verdicts.is_empty() {
        return;
    }
    page.raw(r#"<h2>Thresholds</h2><div class="card scroll"><table><thead><tr><th>Asked</th>"#);
    page.raw(r#"<th class="number">Measured</th><th class="number">Limit</th><th>Outcome</th></tr></thead><tbody>"#);
    for verdict in verdicts {
        let figure = |value: f64| format!("{} {}", three(value), verdict.unit).trim_end().to_owned();
        page.raw("<tr><th>").text(&verdict.threshold).raw(r#"</th><td class="number">"#);
        page.text(verdict.measured.map_or_else(|| "–".into(), figure));
        page.raw(r#"</td><td class="number">"#).text(figure(verdict.limit)).raw("</td><td>");
        match (verdict.passed, verdict.measured) {
            (true, _) => page.raw(r#"<span class="outcome passed">✓ passed</span>"#),
            (false, Some(_)) => page.raw(r#"<span class="outcome failed">✗ missed</span>"#),
            (false, None) => page.raw(r#"<span class="outcome unmeasured">✗ not measured</span>"#),
        };
        page.raw("</td></tr>");
    }
    page.raw("</tbody></table></div>");
}

fn distributions(page: &mut Markup, record: &RunRecord) {
    page.raw(r#"<h2>Distributions</h2><div class="card scroll"><table><thead><tr><th>What</th>"#);
    for column in ["Count", "p50", "p90", "p99", "p99.9", "Greatest"] {
        page.raw(r#"<th class="number">"#).raw(column).raw("</th>");
    }
    page.raw("</tr></thead><tbody>");
    for measure in Measure::ALL {
        let Some(distribution) = record.distribution(measure) else { continue };
        let figures = distribution.percentiles();
        page.raw("<tr><th>").raw(label(measure)).raw(r#"</th><td class="number">"#).text(count(figures.count));
        for us in [figures.p50_us, figures.p90_us, figures.p99_us, figures.p999_us, figures.max_us] {
            page.raw(r#"</td><td class="number">"#).text(time_us(us as f64));
        }
        page.raw("</td></tr>");
    }
    page.raw("</tbody></table></div>");
}

fn ledger(page: &mut Markup, record: &RunRecord) {
    let totals = &record.totals;
    let rows = [
        ("Published", totals.published, "acknowledged by the emitter"),
        ("Uncertain", totals.uncertain, "not answered: perhaps published"),
        ("Owed", totals.expected, "each message to each of its subscribers; of latest channels the last value"),
        ("Delivered", totals.delivered, "read by clients, every class"),
        ("Lost", totals.lost, "owed and never read"),
        ("Excused", totals.excused, "missed by clients that were told so"),
        ("Duplicated", totals.duplicated, "read twice by one client"),
        ("Disordered", totals.disordered, "read after a later one"),
        ("Stale", totals.stale, "an older value after a newer one"),
        ("Strayed", totals.strays, "of a channel not subscribed to"),
        ("Conflated", totals.conflated, "skipped for newer values, as may be"),
        ("Dropped", totals.dropped, "volatile messages, as may be"),
        ("Acknowledged", totals.acknowledged, "critical messages, confirmed"),
        ("Sent again before that", totals.redelivered, "as must be"),
        ("Sent again after that", totals.acknowledged_again, "must not be"),
        ("Recoveries", totals.recoveries, "channels resubscribed with a position"),
        ("Failed recoveries", totals.recoveries_failed, "answered with recovered: false"),
        ("Resets", totals.resets, "of channels whose history was gone"),
        ("Absent", totals.absent, "clients not back at the end"),
    ];
    page.raw(r#"<h2>Account of messages</h2><div class="card scroll"><table><tbody>"#);
    for (what, value, meaning) in rows {
        page.raw("<tr><th>").raw(what).raw(r#"</th><td class="number">"#).text(count(value));
        page.raw(r#"</td><td class="soft">"#).raw(meaning).raw("</td></tr>");
    }
    page.raw("</tbody></table></div>");
}

fn processes(page: &mut Markup, record: &RunRecord) {
    page.raw(r#"<h2>Processes</h2><div class="card scroll"><table><thead><tr><th>Process</th>"#);
    for column in ["CPU, mean", "CPU, peak", "in the kernel", "CPU a delivery", "Memory, first", "Memory, greatest"] {
        page.raw(r#"<th class="number">"#).raw(column).raw("</th>");
    }
    page.raw("</tr></thead><tbody>");
    let delivered = delivered_per_s(record).unwrap_or_default();
    let (from, to) = record.run.measured_ms;
    let length_s = (to.saturating_sub(from)) as f64 / 1e3;
    for process in &record.processes {
        let mean = if length_s > 0.0 { cpu_measured_s(record, process) / length_s } else { 0.0 };
        let per_delivery = if delivered > 0.0 { time_us(mean * 1e6 / delivered) } else { "–".into() };
        process_row(page, process, mean, per_delivery);
    }
    let generator = &record.generator;
    page.raw(r#"<tr><th>the generator itself</th><td class="number">"#).text(percent(generator.cpu_cores));
    page.raw(r#"</td><td class="number">–</td><td class="number">–</td><td class="number">"#);
    page.text(time_us(generator.cpu_per_delivery_us)).raw(r#"</td><td class="number">–</td><td class="number">"#);
    page.text(bytes(generator.rss_max_bytes as f64)).raw("</td></tr></tbody></table></div>");
}

fn process_row(page: &mut Markup, process: &ProcessSeries, mean: f64, per_delivery: String) {
    let samples = &process.samples;
    let peak = samples.iter().map(|sample| sample.cpu_cores).fold(0.0, f64::max);
    let (all, kernel) = samples
        .iter()
        .fold((0.0, 0.0), |(all, kernel), sample| (all + sample.cpu_cores, kernel + sample.cpu_kernel_cores));
    let first = samples.first().map_or(0, |sample| sample.rss_bytes);
    let greatest = samples.iter().map(|sample| sample.rss_bytes).max().unwrap_or_default();
    page.raw("<tr><th>").text(&process.name);
    let kernel = percent(if all > 0.0 { kernel / all } else { 0.0 });
    let cells = [percent(mean), percent(peak), kernel, per_delivery, bytes(first as f64), bytes(greatest as f64)];
    for cell in cells {
        page.raw(r#"</td><td class="number">"#).text(cell);
    }
    page.raw("</td></tr>");
}

fn percent(share: f64) -> String {
    format!("{} %", three(share * 100.0))
}

/// Why connections failed and ended, and what errors were answered.
fn reasons(page: &mut Markup, record: &RunRecord) {
    let totals = &record.totals;
    let kinds: [(&str, &BTreeMap<String, u64>); 3] = [
        ("Failed connects", &totals.connect_failures),
        ("Connections ended", &totals.drops),
        ("Error frames", &totals.errors),
    ];
    if kinds.iter().all(|(_, counts)| counts.is_empty()) {
        return;
    }
    page.raw(r#"<h2>Ends and errors</h2><div class="card scroll"><table><thead><tr><th>What</th><th>Reason</th>"#);
    page.raw(r#"<th class="number">Count</th></tr></thead><tbody>"#);
    for (what, counts) in kinds {
        for (reason, &times) in counts {
            page.raw("<tr><th>").text(what).raw("</th><td>").text(reason);
            page.raw(r#"</td><td class="number">"#).text(count(times)).raw("</td></tr>");
        }
    }
    page.raw("</tbody></table></div>");
}

fn faults(page: &mut Markup, record: &RunRecord) {
    /// A page is for reading; the JSON holds the others.
    const SHOWN_MAX: usize = 25;
    if record.faults.is_empty() {
        return;
    }
    page.raw(r#"<h2>First faults</h2><div class="card scroll"><table><thead><tr><th class="number">After</th>"#);
    page.raw(r#"<th>Kind</th><th class="number">Client</th><th>Channel</th><th class="number">Message</th>"#);
    page.raw(r#"<th class="number">In a row</th></tr></thead><tbody>"#);
    for fault in record.faults.iter().take(SHOWN_MAX) {
        page.raw(r#"<tr><td class="number">"#).text(length_ms(fault.at_ms)).raw("</td><td>").text(fault.kind.name());
        page.raw(r#"</td><td class="number">"#).text(fault.client).raw("</td><td><code>").text(&fault.channel);
        page.raw(r#"</code></td><td class="number">"#).text(fault.number).raw(r#"</td><td class="number">"#);
        page.text(fault.count).raw("</td></tr>");
    }
    page.raw("</tbody></table></div>");
}

fn facts(page: &mut Markup, record: &RunRecord) {
    let run = &record.run;
    let machine = &run.machine;
    page.raw(r#"<h2>How it was run</h2><dl class="facts card">"#);
    let (from, to) = run.measured_ms;
    let machine = format!(
        "{}: {} × {}, {} of memory, {}",
        machine.host,
        machine.cpus,
        machine.cpu,
        bytes(machine.memory_bytes as f64),
        machine.kernel
    );
    let measured = format!("{} to {} after the start", length_ms(from), length_ms(to));
    let version = format!("tickwire-loadtest {} ({})", run.version, run.build);
    let mut rows = vec![
        ("Command", run.command.join(" ")),
        ("Machine", machine),
        ("Edges", run.targets.join(", ")),
        ("Emitters", run.emitters.join(", ")),
        ("Agents", run.agents.join(", ")),
        ("Measured part", measured),
        ("Version", version),
    ];
    let settings = run.settings.iter().map(|(name, value)| format!("{name} = {value}"));
    rows.push(("Settings", settings.collect::<Vec<_>>().join(" · ")));
    for (what, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        page.raw("<dt>").raw(what).raw("</dt><dd>");
        let _ = if what == "Command" { page.raw("<code>").text(value).raw("</code>") } else { page.text(value) };
        page.raw("</dd>");
    }
    page.raw("</dl>");
}
