//! Forms accepted, errors, and random input.

use super::*;
use proptest::prelude::*;

fn parse(json: &str) -> Result<Vec<Sample>> {
    parse_meta(Path::new("meta.json"), json.as_bytes())
}

fn turns(json: &str) -> Vec<Turn> {
    match parse(json).unwrap().remove(0).target {
        Target::Conversation(turns) => turns,
        Target::TextFile(file) => panic!("text file {file}"),
    }
}

#[test]
fn forms_of_a_conversation() {
    let expected = vec![
        Turn { role: Role::User, content: vec![Part::Media(0), Part::Text("Describe.".into())] },
        Turn { role: Role::Assistant, content: vec![Part::Text("A car.".into())] },
    ];
    let check = |json: &str| assert_eq!(turns(json), expected, "{json}");
    check(
        r#"[{"id":"a","media":"a.mp4","conversation":[
        {"role":"user","content":"Describe."},{"role":"assistant","content":"A car."}]}]"#,
    );
    check(
        r#"[{"id":7,"video":["v/a.mp4"],"conversation":[
        {"role":"user","content":[{"type":"video","video":"video_0"},{"type":"text","text":"Describe."}]},
        {"role":"assistant","content":[{"type":"text","text":"A car."}]}]}]"#,
    );
    check(
        r#"[{"id":"a","conversation":[
        {"role":"user","content":[{"type":"video","video":"v/a.mp4"},{"type":"text","text":"Describe."}]},
        {"role":"assistant","content":"A car."}]}]"#,
    );
    check(
        r#"[{"id":"a","video":"a.mp4","extra":{"fps":30},"conversations":[
        {"from":"human","value":"<video>\nDescribe."},{"from":"gpt","value":"A car."}]}]"#,
    );
    check(
        r#"[{"id":"a","video":"a.mp4","conversations":[
        {"role":"user","content":"Describe."},{"role":"assistant","content":"A car."}]}]"#,
    );
}

#[test]
fn text_variant() {
    let samples = parse(r#"[{"id":"a","media":"images/a.jpg","text":"text/a.json"}]"#).unwrap();
    assert_eq!(samples[0].target, Target::TextFile("text/a.json".into()));
    assert_eq!(samples[0].media, [Media { kind: MediaKind::Image, path: "images/a.jpg".into() }]);
}

#[test]
fn errors_name_entry_and_key() {
    let good = r#"{"id":"g","text":"g.txt"}"#;
    let check = |entry: &str, words: &[&str]| {
        let message = parse(&format!("[{good},{entry}]")).unwrap_err().to_string();
        for word in ["meta.json", "entry 1"].iter().chain(words) {
            assert!(message.contains(word), "{entry}: {message:?} lacks {word:?}");
        }
    };
    check("3", &["expected an object", "number"]);
    check(r#"{"text":"x"}"#, &["`id` is missing"]);
    check(r#"{"id":"","text":"x"}"#, &["`id`"]);
    check(r#"{"id":"g","text":"x"}"#, &["entry 0 has the same id"]);
    check(r#"{"id":"b"}"#, &["conversation", "text", "\"b\""]);
    check(r#"{"id":"b","text":"x","conversation":[]}"#, &["exclude"]);
    check(r#"{"id":"b","text":"../x"}"#, &["`text`", ".."]);
    check(r#"{"id":"b","media":"/etc/passwd","text":"x"}"#, &["`media`", "absolute"]);
    check(r#"{"id":"b","media":[1],"text":"x"}"#, &["`media`", "number"]);
    check(r#"{"id":"b","conversation":[]}"#, &["no assistant turn"]);
    check(r#"{"id":"b","conversation":[{"role":"robot","content":""}]}"#, &["conversation[0].role", "robot"]);
    check(r#"{"id":"b","conversation":[{"role":"user"}]}"#, &["conversation[0].content", "missing"]);
    check(
        r#"{"id":"b","conversation":[{"role":"user","content":[{"type":"video","video":"video_3"}]}]}"#,
        &["conversation[0].content[0]", "video_3"],
    );
    check(r#"{"id":"b","conversation":[{"role":"user","content":[{"type":"video","video":"../x.mp4"}]}]}"#, &[".."]);
    check(
        r#"{"id":"b","conversations":[{"from":"human","value":"<video>"},{"from":"gpt","value":"x"}]}"#,
        &["media 0 is named"],
    );
    check("{\"id\":", &[]);
}

#[test]
fn not_a_list() {
    for text in ["", "{}", "3", "[", "[]x", "\u{feff}[]"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    assert!(parse("[]").unwrap().is_empty());
    let deep = "[".repeat(100_000);
    assert!(parse(&deep).is_err(), "deep nesting is refused, not a stack overflow");
}

#[cfg(unix)]
#[test]
fn links_out_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("root")).unwrap();
    std::fs::write(dir.path().join("secret.mp4"), b"x").unwrap();
    std::os::unix::fs::symlink("../secret.mp4", dir.path().join("root/a.mp4")).unwrap();
    let meta = dir.path().join("root/meta.json");
    std::fs::write(&meta, r#"[{"id":"a","media":"a.mp4","text":"none.txt"}]"#).unwrap();
    let message = read_meta(&meta).unwrap_err().to_string();
    assert!(message.contains("entry 0") && message.contains("symbolic link"), "{message}");
}

/// JSON values that look like pieces of a meta.json.
fn json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("video_0".to_owned()),
        Just("video".to_owned()),
        Just("text".to_owned()),
        Just("user".to_owned()),
        Just("assistant".to_owned()),
        Just("../x".to_owned()),
        Just("/x".to_owned()),
        Just("a.mp4".to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("id"),
        Just("media"),
        Just("video"),
        Just("conversation"),
        Just("conversations"),
        Just("text"),
        Just("role"),
        Just("content"),
        Just("type"),
        Just("from"),
        Just("value"),
        Just("other"),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_an_answer_or_an_error(entries in prop::collection::vec(json(), 0..4)) {
        if let Ok(samples) = parse(&Value::from(entries).to_string()) {
            for path in samples.iter().flat_map(|s| &s.media) {
                prop_assert!(check_relative(&path.path).is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_meta(Path::new("meta.json"), bytes.as_slice());
    }
}
