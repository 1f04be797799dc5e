use tokio::{io::AsyncReadExt, net::tcp::OwnedReadHalf, task::JoinHandle};

use super::*;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough to say that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                // Ends with its connection.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn proxied() -> (Proxy, TcpStream) {
    let proxy = Proxy::bind().await.unwrap().route(echo().await, None).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    says(&mut stream, b"hello").await;
    (proxy, stream)
}

async fn says(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, text);
}

#[tokio::test]
async fn a_stalled_direction_holds_everything_until_it_heals() {
    let (proxy, mut stream) = proxied().await;
    for (up, down) in [(Flow::Stalled, Flow::Open), (Flow::Open, Flow::Stalled)] {
        proxy.set(up, down, 100);
        stream.write_all(b"held").await.unwrap();
        let mut back = [0; 4];
        assert!(timeout(SILENCE, stream.read_exact(&mut back)).await.is_err(), "{up:?} {down:?}");
        proxy.heal();
        timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, b"held");
    }
}

#[tokio::test]
async fn a_cut_closes_and_a_reset_resets() {
    let (proxy, mut stream) = proxied().await;
    proxy.cut(Cut::Close, 100);
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    // The cut was for the connections of its time.
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    says(&mut stream, b"again").await;
    proxy.cut(Cut::Reset, 100);
    let error = timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_share_of_the_connections_is_cut() {
    let (proxy, first) = proxied().await;
    let mut streams = vec![first];
    for _ in 1..100 {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        says(&mut stream, b"x").await;
        streams.push(stream);
    }
    proxy.cut(Cut::Close, 30);
    let mut ends: Vec<JoinHandle<bool>> = Vec::new();
    for stream in streams {
        ends.push(tokio::spawn(async move {
            let (mut from, _to): (OwnedReadHalf, _) = stream.into_split();
            timeout(Duration::from_secs(2), from.read(&mut [0; 1])).await.is_ok()
        }));
    }
    let mut cut = 0;
    for end in ends {
        cut += usize::from(end.await.unwrap());
    }
    assert_eq!(cut, 30);
}

#[tokio::test]
async fn a_refusing_proxy_resets_newcomers_and_keeps_the_others() {
    let (proxy, mut stream) = proxied().await;
    proxy.refuse(true);
    let mut late = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let read = timeout(PATIENCE, late.read(&mut [0; 1])).await.unwrap();
    assert!(read.map_or(true, |count| count == 0));
    says(&mut stream, b"still here").await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_passes_bytes_at_its_rate_and_a_late_one_late() {
    let (_sender, weather) = watch::channel(Weather::default());
    let mut pump = Pump::new(weather, 0, |weather| weather.up, None);
    let begun = Instant::now();
    pump.hold(Flow::Slow { bytes_per_s: 1_000 }, Bytes::from_static(&[0; 500]));
    pump.hold(Flow::Slow { bytes_per_s: 1_000 }, Bytes::from_static(&[0; 500]));
    pump.hold(Flow::Delayed(Duration::from_secs(3)), Bytes::from_static(b"late"));
    pump.hold(Flow::Open, Bytes::from_static(b"in order"));
    let times: Vec<_> = pump.held.iter().map(|&(at, _)| (at - begun).as_millis()).collect();
    assert_eq!(times, [500, 1_000, 3_000, 3_000]);
}

#[tokio::test]
async fn what_is_held_is_bounded() {
    let (proxy, mut stream) = proxied().await;
    proxy.set(Flow::Slow { bytes_per_s: 1 }, Flow::Open, 100);
    // More than the proxy and all socket buffers hold: the sender feels it.
    let flood = vec![0_u8; 64 << 20];
    assert!(timeout(Duration::from_secs(2), stream.write_all(&flood)).await.is_err());
}
