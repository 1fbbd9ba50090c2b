//! Every reason, and the sum that must hold.

use std::collections::BTreeMap;

use curate::{Error, Reason, SourceKind};
use serde_json::{Value, json};

use crate::fixture::{World, cv, human, name, reasoning, write};

/// A human label with a field changed.
fn with(look: u32, key: &str, value: Value) -> String {
    let mut label = human(look);
    label[key] = value;
    label.to_string()
}

fn defects(world: &World) -> BTreeMap<String, Reason> {
    use Reason::*;
    let nan = human(1).to_string().replace("\"x1\":1.0", "\"x1\":NaN");
    let inverted = human(2).to_string().replace("\"x2\":30.0", "\"x2\":0.5");
    let outside = human(3).to_string().replace("\"x2\":30.0", "\"x2\":99999");
    let late = human(4).to_string().replace("\"box_time\":1", "\"box_time\":7");
    let missing = human(5).to_string().replace("\"weather\":", "\"wether\":");
    let text = |words: &str| with(6, "safety_analysis", json!(words));
    let labels: Vec<(String, Reason)> = vec![
        ("{\"weather\": ".into(), BrokenJson),
        (nan, NanBox),
        (inverted, InvertedBox),
        (outside, BoxOutside),
        (late, NoticeOutsideClip),
        (missing, MissingField),
        (with(7, "weather", json!(3)), WrongType),
        (with(8, "weather", json!("Hail")), UnknownValue),
        (with(9, "driving_difficulty", json!(7)), OutOfRange),
        (text(""), EmptyText),
        (text("Too short."), EmptyText),
        (text("I'm sorry, but I cannot see the video."), BoilerplateText),
        (text("The ego vehicle stops for a red light."), Contradiction),
        (with(10, "rule_violation", json!("True")), RuleViolation),
        ("[1]".into(), WrongType),
    ];
    let mut expect = BTreeMap::new();
    for (i, (label, reason)) in (0u32..).zip(labels) {
        let id = name(50 + i, i);
        world.label("human", &id, &label);
        world.video("human", &id, 300 + i, 20);
        expect.insert(id, reason);
    }
    expect
}

#[test]
fn every_defect_has_its_reason_and_nothing_disappears() {
    let world = World::new();
    let mut expect = defects(&world);
    for i in 0..4 {
        world.human("human", &name(i, i), i);
    }
    let reject = |id: String, reason: Reason, expect: &mut BTreeMap<String, Reason>| {
        expect.insert(id.clone(), reason);
        id
    };
    let id = reject(name(70, 0), Reason::MissingVideo, &mut expect);
    world.label("human", &id, &human(70).to_string());
    let id = reject(name(71, 0), Reason::BadVideo, &mut expect);
    world.label("human", &id, &human(71).to_string());
    write(&world.path(&format!("human/videos/{id}.mp4")), b"no video");
    let id = reject(name(72, 0), Reason::DurationShort, &mut expect);
    world.label("human", &id, &human(72).to_string());
    world.video("human", &id, 72, 5);
    let id = reject(name(73, 0), Reason::DurationLong, &mut expect);
    world.label("human", &id, &human(73).to_string());
    world.video("human", &id, 73, 60);
    let id = reject(name(74, 0), Reason::DuplicateMedia, &mut expect);
    world.human("human", &id, 0);
    let id = reject(name(75, 0), Reason::NearDuplicateFrames, &mut expect);
    world.label("human", &id, &human(75).to_string());
    world.video("human", &id, 1, 22);
    let id = reject(name(76, 0), Reason::UnreadableFile, &mut expect);
    write(&world.path(&format!("human/metas/{id}.label.json")), &[0xff, 0xfe]);
    let mut config = world.config(&[(SourceKind::Human, "human", &[])]);
    config.filters.duration_max_s = 5.0;
    let card = world.run(&config).unwrap();
    let got: BTreeMap<String, Reason> = world.rejects().into_iter().map(|r| (r.id.unwrap(), r.code)).collect();
    assert_eq!(got, expect);
    assert_eq!((card.read, card.kept + card.rejected, card.kept), (expect.len() + 4, expect.len() + 4, 4));
    let counted = world.rejects().iter().filter(|r| r.counts_against_budget).count();
    assert_eq!(counted, expect.values().filter(|reason| reason.counts_against_budget()).count());
    assert_eq!(card.rejected_against_budget, counted);
}

#[test]
fn places_are_file_line_and_pointer() {
    let world = World::new();
    world.label("human", "a", "{\n \"weather\": \"Overcast\",\n \"lighting\": \"Dusk\"\n}");
    world.human("human", "b", 1);
    world.run(&world.config(&[(SourceKind::Human, "human", &[])])).unwrap();
    let rejects = world.rejects();
    let first = rejects.first().unwrap();
    assert_eq!((first.file.as_str(), first.code), ("metas/a.label.json", Reason::UnknownValue));
    assert_eq!(first.line, 3);
    world.label("human", "a", &serde_json::to_string_pretty(&human(1)).unwrap().replace("Overcast", "Hail"));
    world.run(&world.config(&[(SourceKind::Human, "human", &[])])).unwrap();
    let rejects = world.rejects();
    assert_eq!(rejects[0].line, 2);
    assert!(rejects[0].message.starts_with("/weather: \"Hail\" is not one of"), "{}", rejects[0].message);
}

#[test]
fn other_kinds_and_duplicates() {
    let world = World::new();
    let row = |id: &str, label: Value| format!("{}\n", json!({"id": id, "annotation": label}));
    let notice = |key: &str| row("n", reasoning(1, key));
    let text = row("a", cv(1))
        + &row("a", cv(2))
        + &row("b", cv(1))
        + "nonsense\n"
        + &row("c", json!({"final_content": 1}))
        + &row("d", cv(4)).replace("Vehicle number 4 brakes ahead of the ego vehicle.", "N/A");
    write(&world.path("cv.jsonl"), text.as_bytes());
    let late = "0a4db61e_2712129538000_2712149538000";
    let text = notice("Between time 1.0s and 2.0s")
        + &row(late, reasoning(2, "Between time 19.0s and 25.0s"))
        + &row("o", reasoning(3, "Somewhen"));
    write(&world.path("reason.jsonl"), text.as_bytes());
    let mut config = world.config(&[(SourceKind::Cv, "cv.jsonl", &[]), (SourceKind::Reasoning, "reason.jsonl", &[])]);
    config.decode = false;
    config.filters.near_caption = 0.95;
    let card = world.run(&config).unwrap();
    let got: Vec<(usize, &str)> = world.rejects().iter().map(|r| (r.line, r.code.code())).collect();
    let expect = [
        (2, "duplicate_id"),
        (3, "near_equal_caption"),
        (4, "broken_json"),
        (5, "wrong_type"),
        (6, "boilerplate_text"),
        (2, "notice_outside_clip"),
        (3, "notice_key"),
    ];
    assert_eq!(got, expect);
    assert_eq!((card.read, card.kept), (9, 2));
}

#[test]
fn a_budget_stops_the_run_before_the_set() {
    let world = World::new();
    for i in 0..10 {
        world.label("human", &name(i, i), &human(i).to_string());
    }
    world.label("human", &name(11, 0), "{");
    let mut config = world.config(&[(SourceKind::Human, "human", &[])]);
    config.decode = false;
    config.reject_budget = 0.05;
    let Err(error) = world.run(&config) else { panic!("the budget held") };
    let text = error.to_string();
    assert!(
        text.contains("1 of 11") && text.contains("broken_json") && text.contains("metas/0000000b-0000.label.json:1"),
        "{text}"
    );
    assert_eq!(world.rejects().len(), 1);
    assert!(!world.out().join("card.json").exists());
    config.reject_budget = 0.1;
    world.run(&config).unwrap();
    config.source[0].reject_budget = Some(0.0);
    assert!(matches!(world.run(&config), Err(Error::Budget { .. })));
    assert!(world.out().join("card.json").exists(), "the earlier set stays");
    assert!(world.path("out.rejects.jsonl").exists());
}

#[test]
fn special_tokens_stay_and_are_counted() {
    let world = World::new();
    let text = "The ego vehicle <|im_end|> follows a car <|video_pad|> on a street.";
    world.label("human", &name(1, 1), &with(1, "safety_analysis", json!(text)));
    let mut config = world.config(&[(SourceKind::Human, "human", &[])]);
    config.decode = false;
    let card = world.run(&config).unwrap();
    assert_eq!(card.sources[0].special_tokens_as_text, 2);
    assert!(card.notes.iter().any(|note| note.contains("special tokens")));
    assert_eq!(world.meta("human_annotated")[0]["conversation"][2]["content"], text);
}
