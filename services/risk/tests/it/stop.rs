//! The emergency stop, over crashes and outages.

use tickwire_trading::session::Event;
use tokio_util::sync::CancellationToken;

use crate::rig::{PATIENCE, Rig, Trap, session};

#[tokio::test]
async fn a_loss_at_its_limit_stops_the_session_and_its_user_is_told_what_was_done() {
    let rig = Rig::start().await;
    rig.world.lock().unwrap().add(session("s1", "7", "1000"), "1002.50");
    let process = rig.process();
    let stop = rig.until_answer(&process, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    let reason = "1002.50 of the loss limit of 1000 is lost (100.2 %). The session was stopped, its orders were cancelled and its positions \
         closed; the final P&L is -1002.50.";
    assert_eq!(stop["reason"], reason);
    for (index, step) in ["stop_session", "flatten", "tell"].into_iter().enumerate() {
        assert_eq!(stop["steps"][index], serde_json::json!({"step": step, "isDone": true}));
    }
    let world = rig.world.lock().unwrap();
    assert_eq!(world.calls, ["stop", "flatten", "tell"]);
    let told = world.told("emergency-stop");
    assert_eq!((told.len(), &told[0]["sessionId"], &told[0]["userId"]), (1, &"s1".into(), &"7".into()));
    assert_eq!(told[0]["reason"], reason);
}

/// Dies at one call, whose effect happened or not; another process goes on.
async fn dies_at(call: &'static str, has_effect: bool) {
    let rig = Rig::start().await;
    let sprung = CancellationToken::new();
    {
        let mut world = rig.world.lock().unwrap();
        world.add(session("s1", "7", "1000"), "1500");
        world.trap = Some(Trap { call, has_effect, sprung: sprung.clone() });
    }
    let first = rig.process();
    tokio::time::timeout(PATIENCE, sprung.cancelled()).await.unwrap_or_else(|_| panic!("no {call}"));
    first.kill();
    let second = rig.process();
    rig.until_answer(&second, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    let third = rig.process();
    rig.until_answer(&third, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    let world = rig.world.lock().unwrap();
    assert_eq!((world.stopped.len(), world.flattened.len()), (1, 1), "{call}");
    assert_eq!(world.told("emergency-stop").len(), 1, "{call}: one key, one alert");
    let mut distinct = world.calls.clone();
    distinct.dedup();
    assert_eq!(distinct, ["stop", "flatten", "tell"], "{call}: no step is made again once the next has begun");
    assert_eq!(world.calls.len(), 4, "only the interrupted call is made twice");
}

#[tokio::test]
async fn a_stop_finishes_once_when_the_service_dies_before_the_session_is_stopped() {
    dies_at("stop", false).await;
}

#[tokio::test]
async fn a_stop_finishes_once_when_the_service_dies_after_the_session_was_stopped() {
    dies_at("stop", true).await;
}

#[tokio::test]
async fn a_stop_finishes_once_when_the_service_dies_before_the_account_is_flat() {
    dies_at("flatten", false).await;
}

#[tokio::test]
async fn a_stop_finishes_once_when_the_service_dies_after_the_account_is_flat() {
    dies_at("flatten", true).await;
}

#[tokio::test]
async fn a_stop_finishes_once_when_the_service_dies_before_the_user_is_told() {
    dies_at("tell", false).await;
}

#[tokio::test]
async fn a_stop_finishes_once_when_the_service_dies_after_the_user_was_told() {
    dies_at("tell", true).await;
}

#[tokio::test]
async fn the_user_is_told_while_the_algorithm_service_is_away_and_the_stop_still_finishes() {
    let rig = Rig::start().await;
    {
        let mut world = rig.world.lock().unwrap();
        world.add(session("s1", "7", "1000"), "1000");
        world.away.insert("flatten");
    }
    let process = rig.process();
    rig.until("the user is told", |world| world.told("emergency-stop").len() == 1).await;
    {
        let mut world = rig.world.lock().unwrap();
        let told = world.told("emergency-stop");
        assert!(told[0]["reason"].as_str().unwrap().contains("positions closed"), "{told:?}");
        assert!(told[0]["reason"].as_str().unwrap().contains("being cancelled"), "{told:?}");
        world.away.clear();
    }
    rig.until_answer(&process, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    assert_eq!(rig.world.lock().unwrap().told("emergency-stop").len(), 1);
}

#[tokio::test]
async fn of_two_instances_one_stops() {
    let rig = Rig::start().await;
    rig.world.lock().unwrap().add(session("s1", "7", "1000"), "1000");
    let (one, two) = (rig.process(), rig.process());
    for process in [&one, &two] {
        rig.until_answer(process, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    }
    assert_eq!(rig.world.lock().unwrap().calls, ["stop", "flatten", "tell"]);
}

/// Its owner stopped the session while no risk service ran.
fn stopped_by_its_owner() -> tickwire_trading::Session {
    let reason = "its user asked for an emergency stop".into();
    session("s1", "7", "1000").apply(&Event::EmergencyStopped { reason }, 3)
}

#[tokio::test]
async fn an_owners_stop_is_carried_out_to_its_end_also_when_the_service_was_away() {
    let rig = Rig::start().await;
    rig.world.lock().unwrap().add(stopped_by_its_owner(), "12");
    let process = rig.process();
    let stop = rig.until_answer(&process, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    let reason = "Its user asked for an emergency stop. The session was stopped, its orders were cancelled and its positions closed; the \
         final P&L is -12.";
    assert_eq!(stop["reason"], reason);
    // Another one finds it done.
    let next = rig.process();
    rig.until_answer(&next, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    let world = rig.world.lock().unwrap();
    assert_eq!(world.calls, ["stop", "flatten", "tell"]);
    assert_eq!(world.told("emergency-stop")[0]["reason"], reason);
}

#[tokio::test]
async fn an_owners_stop_is_finished_once_when_the_service_dies_in_the_middle() {
    let rig = Rig::start().await;
    let sprung = CancellationToken::new();
    {
        let mut world = rig.world.lock().unwrap();
        world.add(stopped_by_its_owner(), "12");
        world.trap = Some(Trap { call: "flatten", has_effect: true, sprung: sprung.clone() });
    }
    let first = rig.process();
    tokio::time::timeout(PATIENCE, sprung.cancelled()).await.expect("it is flattened");
    // It is there before the first one dies, and hears of no beginning: the session is over.
    let second = rig.process();
    rig.until_answer(&second, "/v1/sessions/s1/stop", |stop| stop["isDone"] == false).await;
    first.kill();
    rig.until_answer(&second, "/v1/sessions/s1/stop", |stop| stop["isDone"] == true).await;
    assert_eq!(rig.world.lock().unwrap().told("emergency-stop").len(), 1);
}
