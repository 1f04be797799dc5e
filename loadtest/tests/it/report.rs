//! Reports made from a record.

use clap::Parser;
use tickwire_loadtest::{RunRecord, record::ProcessSeries, report, thresholds::Thresholds};

use crate::sample;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    thresholds: Thresholds,
}

fn judged(flags: &[&str], mut record: RunRecord) -> RunRecord {
    let words = ["test"].iter().chain(flags);
    record.thresholds = Flags::try_parse_from(words).unwrap().thresholds.judge(&record);
    record
}

#[test]
fn every_outcome_of_a_threshold_is_told() {
    let mut record = sample::record();
    record.distributions.remove(&tickwire_loadtest::record::Measure::DeliverySlow);
    let flags = ["--max-p99", "50ms", "--max-loss", "0", "--max-slow-p99", "500ms"];
    let record = judged(&flags, record);
    let outcomes: Vec<_> = record
        .thresholds
        .iter()
        .map(|verdict| (verdict.threshold.as_str(), verdict.measured.is_some(), verdict.passed))
        .collect();
    let expected = [
        ("lost ≤ 0", true, false),
        ("delivery p99 ≤ 50 ms", true, true),
        ("slow readers' delivery p99 ≤ 500 ms", false, false),
    ];
    assert_eq!(outcomes, expected);
    assert!(!record.passed());
    let page = report::html(&record).unwrap();
    for words in ["✗ Missed 2 of 3", "✓ passed", "✗ missed", "✗ not measured", "lost ≤ 0"] {
        assert!(page.contains(words), "{words}");
    }
    let text = report::terminal(&record, false);
    assert!(text.contains("✓ delivery p99 ≤ 50 ms") && text.contains("not measured"), "{text}");
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/missed.html"), page).unwrap();
}

#[test]
fn a_run_that_meets_everything_has_passed() {
    let record = judged(&["--max-loss", "12", "--max-p50", "5ms", "--min-delivered-per-s", "15000"], sample::record());
    assert!(record.passed(), "{:?}", record.thresholds);
    assert!(report::html(&record).unwrap().contains("✓ Passed all 3"));
}

#[test]
fn servers_are_judged_by_what_they_used() {
    let flags = ["--max-cpu-per-delivery", "70us", "--max-memory", "32MiB", "--max-memory-growth", "1MiB"];
    let record = judged(&flags, sample::record());
    let measured: Vec<f64> = record.thresholds.iter().map(|verdict| verdict.measured.unwrap().round()).collect();
    // 1.3 cores and 20,700 deliveries a second; 109 MB at most; all growth but 0.8 MB of it was before the measured part.
    assert!((60.0..=72.0).contains(&measured[0]), "{measured:?}");
    assert_eq!(measured[1..], [104.0, 1.0]);
    assert_eq!(record.thresholds.iter().map(|verdict| verdict.passed).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn a_clean_run_is_asked_for_in_one_word() {
    let record = judged(&["--clean"], sample::record());
    let missed: Vec<&str> =
        record.thresholds.iter().filter(|verdict| !verdict.passed).map(|verdict| verdict.threshold.as_str()).collect();
    assert_eq!(missed, ["lost ≤ 0", "failed recoveries ≤ 0"]);
}

#[test]
fn hostile_names_stay_text() {
    const HOSTILE: &str = "</script><script>alert(1)</script>\"'&\u{1b}[2J";
    let mut record = judged(&["--max-loss", "0"], sample::record());
    record.run.scenario = HOSTILE.into();
    record.run.machine.host = HOSTILE.into();
    record.run.command.push(HOSTILE.into());
    record.run.targets.push(HOSTILE.into());
    record.run.settings.insert(HOSTILE.into(), HOSTILE.into());
    record.totals.drops.insert(HOSTILE.into(), 1);
    record.faults[0].channel = HOSTILE.into();
    record.thresholds[0].threshold = HOSTILE.into();
    record.thresholds[0].unit = HOSTILE.into();
    record.notes.push(HOSTILE.into());
    record.generator.reasons.push(HOSTILE.into());
    let samples = record.processes[0].samples.clone();
    record.processes.push(ProcessSeries { name: HOSTILE.into(), pid: 1, samples });
    let page = report::html(&record).unwrap();
    assert_eq!(page.matches("<script").count(), 2, "the charts' data and the page's own script");
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains('\u{1b}'));
    assert!(!report::terminal(&record, true).contains("\u{1b}[2J"));
}

#[test]
fn a_record_comes_back_from_its_json() {
    let record = judged(&["--max-loss", "0"], sample::record());
    let text = serde_json::to_string(&record).unwrap();
    let read: RunRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(read.totals, record.totals);
    assert_eq!(report::terminal(&read, false), report::terminal(&record, false));
}

#[test]
fn a_run_in_which_nothing_happened_has_a_report_too() {
    let mut record = judged(&["--max-p99", "5ms", "--max-memory", "1GiB"], sample::record());
    record.seconds.clear();
    record.distributions.clear();
    record.processes.clear();
    record.kernel.clear();
    assert!(report::html(&record).unwrap().contains("How it was run"));
    assert!(report::terminal(&record, false).contains("mixed"));
}
