//! Two users: neither learns of the other's sessions.

use serde_json::json;

use crate::rig::{API_KEY, Rig, session, token};

#[tokio::test]
async fn a_user_sees_and_sets_only_what_is_theirs() {
    let rig = Rig::start().await;
    {
        let mut world = rig.world.lock().unwrap();
        world.add(session("s7", "7", "1000"), "850");
        world.add(session("s8", "8", "1000"), "1000");
    }
    let process = rig.process();
    rig.until_answer(&process, "/v1/sessions/s8/stop", |stop| stop["isDone"] == true).await;
    rig.until_answer(&process, "/v1/sessions/s7/risk", |risk| risk["level"] == "warning").await;
    let (seven, eight) = (token("7"), token("8"));
    for path in ["/v1/sessions/s7/risk", "/v1/sessions/s7/thresholds"] {
        assert_eq!(rig.get(&process, &seven, path).await.0, 200, "{path}");
        assert_eq!(rig.get(&process, &eight, path).await.0, 404, "{path}");
    }
    assert_eq!(rig.get(&process, &eight, "/v1/sessions/s8/stop").await.0, 200);
    assert_eq!(rig.get(&process, &seven, "/v1/sessions/s8/stop").await.0, 404);
    assert_eq!(rig.put(&process, &eight, "/v1/sessions/s7/thresholds", &json!({})).await.0, 404);
    let (_, list) = rig.get(&process, &eight, "/v1/risk").await;
    assert!(list["sessions"].as_array().unwrap().iter().all(|session| session["userId"] == "8"), "{list}");
    let (_, list) = rig.get(&process, API_KEY, "/v1/risk").await;
    assert!(list["sessions"].as_array().unwrap().iter().any(|session| session["userId"] == "7"), "{list}");
    assert_eq!(rig.get(&process, "nobody", "/v1/risk").await.0, 401);
    let world = rig.world.lock().unwrap();
    for (key, (_, body)) in &world.told {
        let owner = &key.split('/').nth(1).unwrap()[1..];
        assert_eq!(body["userId"].as_str().unwrap_or(owner), owner, "{key}: {body}");
    }
}
