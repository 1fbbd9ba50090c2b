//! Time of curating 10,000 annotations without videos: `cargo run --release -p curate --example ten_thousand -- [files]`.
//!
//! With `files`, a label is a file of its own; else all are rows of one JSONL file. Prints one JSON line.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program")]

use std::time::Instant;

use curate::{Config, Hooks, Source, SourceKind, Task};
use serde_json::{Value, json};

const ANNOTATIONS: usize = 10_000;

/// Words that follow each other by a simple rule, so that no two descriptions are near-equal.
fn description(number: usize) -> String {
    const WORDS: [&str; 32] = [
        "the", "ego", "vehicle", "follows", "a", "gray", "truck", "bus", "street", "lane", "left", "right", "slows",
        "stops", "at", "sign", "light", "turns", "keeps", "rain", "dry", "road", "cyclist", "crosses", "parked",
        "cars", "near", "wide", "narrow", "hill", "bridge", "exit",
    ];
    let mut state = number as u64 + 1;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 59) as usize]
    };
    (0..80).map(word).collect::<Vec<_>>().join(" ")
}

fn label(number: usize) -> Value {
    json!({
        "weather": "Light rain", "lighting": "Daytime (low\u{2011}contrast daylight)", "road_conditions": "Wet",
        "traffic_light": "N/A", "traffic_sign": "A no stopping sign.", "additional_traffic_rules": null,
        "road_type": "Collector road", "junction_type": "Straight segment", "lane_type": "Single lane each direction",
        "additional_map_rules": null, "interactive_expanded_metaaction": ["Yield to VRUs", "Vehicle following"],
        "safety_analysis": description(number), "driving_difficulty": 1 + number % 4, "rule_violation": "False",
        "interesting_scenario": "True",
        "critical_object": [{"box": {"x1": 2755.46, "y1": 748.28, "x2": 2858.53, "y2": 825.2}, "box_time": 2,
            "critical_reasoning": "It is followed.", "object_type": "Vehicles - Light trucks & SUVs"}]
    })
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let files = std::env::args().any(|argument| argument == "files");
    let id = |number: usize| format!("{:08x}-{number:05}", number / 5);
    let path = if files { folder.path().join("source") } else { folder.path().join("source.jsonl") };
    if files {
        std::fs::create_dir_all(path.join("metas")).unwrap();
        for number in 0..ANNOTATIONS {
            let text = serde_json::to_string_pretty(&label(number)).unwrap();
            std::fs::write(path.join(format!("metas/{}.label.json", id(number))), text).unwrap();
        }
    } else {
        let row = |number| format!("{}\n", json!({"id": id(number), "annotation": label(number)}));
        std::fs::write(&path, (0..ANNOTATIONS).map(row).collect::<String>()).unwrap();
    }
    let tasks = vec![Task::Caption, Task::Rubric];
    let source = Source { kind: SourceKind::Human, name: None, path, tasks, reject_budget: None };
    let config = Config { decode: false, source: vec![source], ..Config::default() };
    let start = Instant::now();
    let mut hooks = Hooks { progress: &mut |_| true, count_tokens: None };
    let card = curate::run(&config, &folder.path().join("out"), &mut hooks).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", json!({"curate": card.read, "kept": card.kept, "files": files, "seconds": seconds}));
}
