//! Model folders: what we write, what we read, what we refuse.

use std::path::Path;

use processor::{
    Error, Family, PixelBudget, Processor, SpecialIds, TemplateCheck, builtin_tokenizer_json, write_files,
};

fn write_config(dir: &Path, json: &str) {
    std::fs::write(dir.join("config.json"), json).unwrap();
}

/// A folder with our files for `family` and this config.json.
fn folder(family: Family, config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), family, &builtin_tokenizer_json(SpecialIds::Qwen3)).unwrap();
    write_config(dir.path(), config);
    dir
}

const QWEN3: &str = r#"{"model_type": "qwen3_vl", "video_token_id": 151656, "image_token_id": 151655, "text_config": {"vocab_size": 151936}, "vision_config": {"patch_size": 16}}"#;

#[test]
fn our_own_folders_open() {
    for (family, config, budget) in [
        (Family::Qwen3Vl, QWEN3, PixelBudget::PerClip { min_pixels: 4096, max_pixels: 25_165_824 }),
        (
            Family::Qwen2_5Vl,
            r#"{"model_type": "qwen2_5_vl", "vocab_size": 152064, "vision_config": {"patch_size": 14, "tokens_per_second": 2}}"#,
            PixelBudget::PerImage { min_pixels: 100_352, max_pixels: 602_112 },
        ),
    ] {
        let dir = folder(family, config);
        let processor = Processor::open(dir.path()).unwrap();
        assert_eq!(processor.family(), family);
        assert_eq!(processor.template_check(), &TemplateCheck::Same);
        assert_eq!(processor.folder_budget(), Some(budget));
        assert_eq!(processor.vision(), &processor::VisionConfig::of_family(family));
    }
}

#[test]
fn tokenizer_and_config_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), builtin_tokenizer_json(SpecialIds::Compact)).unwrap();
    write_config(dir.path(), r#"{"model_type": "qwen3_vl"}"#);
    let processor = Processor::open(dir.path()).unwrap();
    assert_eq!((processor.template_check(), processor.folder_budget()), (&TemplateCheck::Absent, None));
}

#[test]
fn wrong_folders_say_what_is_wrong() {
    for (config, expect) in [
        (r#"{"model_type": "llama"}"#, "model_type is \"llama\""),
        ("[]", "expected a JSON object"),
        ("{", "EOF"),
        (r#"{"model_type": "qwen3_vl", "video_token_id": 503}"#, "`video_token_id` is 503"),
        (r#"{"model_type": "qwen3_vl", "video_token_id": -1}"#, "`video_token_id` is -1"),
        (r#"{"model_type": "qwen3_vl", "text_config": {"vocab_size": 151668}}"#, "`vocab_size` is 151668"),
        (r#"{"model_type": "qwen3_vl", "vision_config": {"patch_size": 0}}"#, "`patch_size` is 0"),
        (r#"{"model_type": "qwen3_vl", "vision_config": {"patch_size": 14}}"#, "`patch_size` is 14 in config.json but"),
        (
            r#"{"model_type": "qwen3_vl", "vision_config": {"spatial_merge_size": "x"}}"#,
            "`spatial_merge_size` is \"x\"",
        ),
    ] {
        let dir = folder(Family::Qwen3Vl, config);
        let error = Processor::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains("config.json"), "{config}: {error}");
    }
    let dir = folder(Family::Qwen3Vl, QWEN3);
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    assert!(matches!(Processor::open(dir.path()), Err(Error::Io { path, .. }) if path.ends_with("tokenizer.json")));
}

#[test]
fn another_chat_template_is_noticed() {
    let dir = folder(Family::Qwen3Vl, QWEN3);
    std::fs::write(dir.path().join("chat_template.jinja"), "{{ messages[0].role }}: hello").unwrap();
    let processor = Processor::open(dir.path()).unwrap();
    assert!(
        matches!(processor.template_check(), TemplateCheck::Different { file, .. } if file == "chat_template.jinja")
    );
    std::fs::remove_file(dir.path().join("chat_template.jinja")).unwrap();
    std::fs::write(dir.path().join("chat_template.json"), r#"{"chat_template": "x"}"#).unwrap();
    let processor = Processor::open(dir.path()).unwrap();
    assert!(
        matches!(processor.template_check(), TemplateCheck::Different { file, .. } if file == "chat_template.json")
    );
}
