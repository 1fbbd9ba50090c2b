//! What is in the evaluation set is not in the training set.

use curate::{Reason, SourceKind};
use serde_json::json;

use crate::fixture::{World, clip, human, name, write};

#[test]
fn each_way_of_leaking_is_found() {
    let world = World::new();
    for i in 0..6 {
        world.human("human", &name(i, i), i);
    }
    let text = human(5)["safety_analysis"].as_str().unwrap().to_owned();
    let rows = [
        json!({"clip": name(0, 0), "video": "videos/x.mp4"}),
        json!({"clip": name(1, 99), "text": "Short."}),
        json!({"clip": "far", "video": "videos/same.mp4"}),
        json!({"clip": "farther", "video": "videos/near.mp4"}),
        json!({"clip": "farthest", "text": format!("{text} It rains.")}),
    ];
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    write(&world.path("bench/captions.jsonl"), lines.as_bytes());
    std::fs::create_dir_all(world.path("bench/videos")).unwrap();
    clip(&world.path("bench/videos/x.mp4"), 900, 20);
    clip(&world.path("bench/videos/same.mp4"), 2, 20);
    clip(&world.path("bench/videos/near.mp4"), 3, 21);
    let mut config = world.config(&[(SourceKind::Human, "human", &[])]);
    config.eval_set.files = vec![world.path("bench/captions.jsonl")];
    config.reject_budget = 0.0;
    let card = world.run(&config).unwrap();
    let got: Vec<Reason> = world.rejects().iter().map(|reject| reject.code).collect();
    use Reason::*;
    assert_eq!(got, [LeakId, LeakDrive, LeakMedia, LeakFrames, LeakCaption]);
    assert_eq!((card.kept, card.rejected_against_budget), (1, 0));
}

#[test]
fn a_list_that_cannot_be_checked_stops_the_run() {
    let world = World::new();
    world.human("human", &name(1, 1), 1);
    let mut config = world.config(&[(SourceKind::Human, "human", &[])]);
    config.eval_set.files = vec![world.path("bench.jsonl")];
    let check = |line: &str, expect: &str| {
        write(&world.path("bench.jsonl"), line.as_bytes());
        let told = world.run(&config).unwrap_err().to_string();
        assert!(told.contains(expect), "{told}");
    };
    check("{\"clip\": \"a\"}\n{\"clip\": \n", "line 2");
    check("{\"question\": \"a\"}\n", "expected `clip`");
    check("{\"video\": \"none.mp4\"}\n", "no such file");
}
