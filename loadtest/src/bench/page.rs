//! The table as an HTML file.

use super::table::{Findings, Row, Unit};
use crate::report::{
    chart::{Chart, Series, Unit as ChartUnit},
    figures::{bytes, count, length_ms, moment, time_us},
    page::{Markup, document},
};

/// Renders `findings`.
pub(super) fn render(findings: &Findings) -> serde_json::Result<String> {
    let mut page = Markup::default();
    header(&mut page, findings);
    if !findings.notes.is_empty() {
        page.raw(r#"<ul class="notes card">"#);
        for note in &findings.notes {
            page.raw("<li>").text(note).raw("</li>");
        }
        page.raw("</ul>");
    }
    table(&mut page, &findings.rows);
    let charts = charts(findings);
    if !charts.is_empty() {
        page.raw("<h2>Growth</h2>").charts(&charts);
        growth(&mut page, findings);
    }
    facts(&mut page, findings);
    document("Tickwire benchmark", &page, &charts.iter().collect::<Vec<_>>())
}

fn header(page: &mut Markup, findings: &Findings) {
    page.raw(r#"<header><div><p class="kicker">Tickwire</p><h1>Benchmark</h1><p class="soft">"#);
    page.text(moment(findings.started_at_ms)).raw(" · ").text(length_ms(findings.took_s * 1_000)).raw(" · ");
    page.text(&findings.machine.host).raw("</p></div>");
    let judged: Vec<bool> = findings.rows.iter().filter_map(Row::is_reached).collect();
    let reached = judged.iter().filter(|&&reached| reached).count();
    if reached == judged.len() {
        page.raw(r#"<div class="verdict passed">✓ Reached all "#).text(reached).raw("</div></header>");
    } else {
        page.raw(r#"<div class="verdict failed">✗ Reached "#).text(reached).raw(" of ").text(judged.len());
        page.raw("</div></header>");
    }
    if findings.is_quick {
        page.raw(r#"<p class="soft">A quick run: few rounds, rough figures.</p>"#);
    }
}

fn table(page: &mut Markup, rows: &[Row]) {
    page.raw(
        r#"<h2>Numbers</h2><div class="card scroll"><table><thead><tr><th>What</th><th class="number">Beside</th>"#,
    );
    page.raw(
        r#"<th class="number">Tickwire</th><th class="number">Ratio</th><th class="number">Goal</th><th>Outcome</th>"#,
    );
    page.raw("</tr></thead><tbody>");
    for row in rows {
        page.raw("<tr><th>").text(&row.what);
        if !row.note.is_empty() {
            page.raw(r#"<div class="soft">"#).text(&row.note).raw("</div>");
        }
        let none = || "–".to_owned();
        let cells = [
            row.floor.map_or_else(none, |floor| row.unit.show(floor)),
            row.unit.show(row.measured),
            row.ratio().map_or_else(none, |ratio| format!("{ratio:.2}")),
            row.goal_text(),
        ];
        page.raw("</th>");
        for cell in cells {
            page.raw(r#"<td class="number">"#).text(cell).raw("</td>");
        }
        match row.is_reached() {
            Some(true) => page.raw(r#"<td><span class="outcome passed">✓ reached</span></td></tr>"#),
            Some(false) => page.raw(r#"<td><span class="outcome failed">✗ missed</span></td></tr>"#),
            None => page.raw("<td></td></tr>"),
        };
    }
    page.raw("</tbody></table></div>");
}

fn charts(findings: &Findings) -> Vec<Chart> {
    if findings.growth.is_empty() {
        return Vec::new();
    }
    let mut sizes: Vec<usize> = findings.growth.iter().map(|cell| cell.channels).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let chart = |title: &str, note: &str, unit, of: fn(&super::table::Cell) -> f64| {
        let mut chart = Chart::over_size(title, note, unit);
        for &channels in &sizes {
            let cells = findings.growth.iter().filter(|cell| cell.channels == channels);
            let points = cells.map(|cell| (cell.connections as f64, of(cell))).collect();
            let name = if channels == 1 { "1 channel each".to_owned() } else { format!("{channels} channels each") };
            chart.push(Series::new(name, points));
        }
        chart
    };
    vec![
        chart("CPU a delivery", "of both edges", ChartUnit::Us, |cell| cell.delivery_us),
        chart("Memory a connection", "user space, of both edges", ChartUnit::Bytes, |cell| cell.connection_bytes),
    ]
}

fn growth(page: &mut Markup, findings: &Findings) {
    page.raw(r#"<ul class="notes card">"#);
    for verdict in findings.growth_verdicts() {
        page.raw("<li>").text(verdict).raw("</li>");
    }
    page.raw(r#"</ul><h2>Sizes</h2><div class="card scroll"><table><thead><tr><th class="number">Connections</th>"#);
    for column in ["Channels each", "CPU a delivery", "Memory a connection", "Kernel memory, both ends"] {
        page.raw(r#"<th class="number">"#).raw(column).raw("</th>");
    }
    page.raw("</tr></thead><tbody>");
    for cell in &findings.growth {
        let cells = [
            count(cell.connections as u64),
            count(cell.channels as u64),
            time_us(cell.delivery_us),
            bytes(cell.connection_bytes),
            bytes(cell.kernel_bytes),
        ];
        page.raw("<tr>");
        for cell in cells {
            page.raw(r#"<td class="number">"#).text(cell).raw("</td>");
        }
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div>");
}

fn facts(page: &mut Markup, findings: &Findings) {
    let machine = &findings.machine;
    page.raw(r#"<h2>How it was measured</h2><dl class="facts card"><dt>Command</dt><dd><code>"#);
    page.text(findings.command.join(" ")).raw("</code></dd><dt>Machine</dt><dd>").text(&machine.host).raw(": ");
    page.text(machine.cpus).raw(" × ").text(&machine.cpu).raw(", ").text(Unit::Bytes.show(machine.memory_bytes as f64));
    page.raw(" of memory, ")
        .text(&machine.kernel)
        .raw("</dd><dt>Servers</dt><dd>Redis, two edges of one shard each and an ");
    page.raw("emitter, release builds, on the same machine as the clients; memory without huge pages</dd>");
    page.raw("<dt>Method</dt><dd>The raw loop writes ready frames of the same size to as many sockets. Both are measured in turn, ");
    page.raw("and medians of several rounds are shown: times are the machine's, ratios hold.</dd></dl>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bench::table::{Cell, Goal},
        record::Machine,
    };

    #[test]
    fn the_table_shows_every_outcome_and_stays_text() {
        let hostile = "</script><script>alert(1)</script>";
        let machine = Machine { host: hostile.into(), ..Machine::default() };
        let mut findings = Findings::new(machine, 0, vec![hostile.into()], true);
        findings.rows = vec![
            Row::new(hostile, 5.0, Unit::Us).beside(4.0).goal(Goal::RatioAtMost(1.3)).note(hostile),
            Row::new("memory", 3_000.0, Unit::Bytes).goal(Goal::AtMost(2_048.0)),
            Row::new("for information", 1.0, Unit::Count),
        ];
        let cell =
            |connections| Cell { connections, channels: 1, delivery_us: 5.0, connection_bytes: 1.0, kernel_bytes: 1.0 };
        findings.growth = vec![cell(1_000), cell(3_000)];
        findings.notes.push(hostile.into());
        let page = render(&findings).unwrap();
        assert_eq!(page.matches("<script").count(), 2);
        for words in ["Reached 1 of 2", "✓ reached", "✗ missed", "1.25", "is flat"] {
            assert!(page.contains(words), "{words}");
        }
    }
}
