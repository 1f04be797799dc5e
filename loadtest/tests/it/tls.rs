//! Edges that speak TLS themselves.

use tickwire_backplane::testing::TlsFiles;
use tickwire_loadtest::{Settings, run};

use crate::cluster::Cluster;

async fn secure() -> (Cluster, TlsFiles) {
    let files = TlsFiles::generate();
    let cluster = Cluster::standalone_with(|config| {
        config.edge.tls_cert_file = Some(files.ca_file().to_owned());
        config.edge.tls_key_file = Some(files.key_file().to_owned());
    })
    .await;
    (cluster, files)
}

fn over_tls(cluster: &Cluster, flags: &str) -> Settings {
    let targets = cluster.edges.iter().map(|edge| format!("wss://localhost:{}", edge.port())).collect();
    Settings { targets, ..cluster.settings(flags) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_is_accounted_over_tls_as_without() {
    let (cluster, files) = secure().await;
    let flags = "--scenario ticks --connections 20 --duration 1 --sse-share 0.2 --poll-share 0.2";
    let settings = Settings { ca_file: files.ca_file().to_owned(), ..over_tls(&cluster, flags) };
    let record = run(&settings, Vec::new(), |_| {}).await.unwrap();
    assert!(record.totals.is_clean(), "{:#?}\n{:#?}", record.totals, record.faults);
    assert_eq!((record.totals.absent, record.totals.expected), (0, 200), "one last value for each of ten channels");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_a_strange_authority_is_taken_only_if_anybodys_is() {
    let (cluster, _files) = secure().await;
    let strange = TlsFiles::generate();
    let flags = "--scenario idle --connections 3 --duration 1 --connect-patience 1";
    let settings = Settings { ca_file: strange.ca_file().to_owned(), ..over_tls(&cluster, flags) };
    let absent = run(&settings, Vec::new(), |_| {}).await.map_or(3, |record| record.totals.absent);
    assert_eq!(absent, 3);
    let settings = Settings { insecure: true, ..settings };
    let record = run(&settings, Vec::new(), |_| {}).await.unwrap();
    assert_eq!((record.totals.absent, record.totals.connects), (0, 3));
}
