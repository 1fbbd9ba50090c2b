//! config.json from outside: what it may say, and that nothing in it panics.

use super::golden;
use models::{DebertaConfig, VlmConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

fn text(name: &str) -> String {
    std::fs::read_to_string(golden(name).join("config.json")).unwrap()
}

/// The config with `pointer` set to `value`; `null` removes it.
fn changed(name: &str, pointer: &str, value: Value) -> String {
    let mut config: Value = serde_json::from_str(&text(name)).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let object = config.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => object.remove(key),
        value => object.insert(key.to_owned(), value),
    };
    config.to_string()
}

#[test]
fn wrong_values_name_their_key() {
    let check = |pointer: &str, value: Value, expect: &str| {
        let error = VlmConfig::parse(&changed("qwen3_vl", pointer, value)).unwrap_err().to_string();
        assert!(error.contains(expect), "{pointer}: {error}");
    };
    check("/model_type", json!("llama"), "`llama` is not supported");
    check("/model_type", Value::Null, "model_type");
    check("/vision_config", Value::Null, "vision_config");
    check("/video_token_id", Value::Null, "video_token_id");
    check("/text_config/num_key_value_heads", json!(2), "does not divide");
    check("/text_config/num_attention_heads", json!(0), "num_attention_heads");
    check("/text_config/rope_scaling/mrope_section", json!([2, 2, 3]), "mrope_section");
    check("/text_config/rope_scaling/mrope_section", json!([2, 4]), "mrope_section");
    check("/text_config/rope_scaling/rope_type", json!("yarn"), "`yarn` is not supported");
    check("/text_config/hidden_act", json!("relu"), "`relu` is not supported");
    check("/text_config/hidden_size", json!(1u64 << 40), "hidden_size");
    check("/text_config/hidden_size", json!("many"), "invalid type");
    check("/vision_config/num_heads", json!(3), "num_heads");
    check("/vision_config/num_position_embeddings", json!(26), "square");
    check("/vision_config/deepstack_visual_indexes", json!([0, 3]), "depth 3");
    check("/vision_config/deepstack_visual_indexes", json!([0, 0]), "twice");
    check("/vision_config/out_hidden_size", json!(25), "out_hidden_size");
    check("/vision_config/hidden_act", json!("relu"), "`relu` is not supported");
}

/// Flat Qwen2.5-VL files and the `rope_parameters` of transformers 5 say the same as the nested layout.
#[test]
fn other_layouts_are_read() {
    let nested = VlmConfig::parse(&text("qwen2_5_vl")).unwrap();
    let mut flat: Value = serde_json::from_str(&text("qwen2_5_vl")).unwrap();
    let Value::Object(inner) = flat["text_config"].take() else { panic!("no text_config") };
    let object = flat.as_object_mut().unwrap();
    object.remove("text_config");
    inner.into_iter().filter(|(key, _)| key != "model_type").for_each(|(key, value)| {
        object.insert(key, value);
    });
    assert_eq!(VlmConfig::parse(&flat.to_string()).unwrap(), nested);

    let mut newer: Value = serde_json::from_str(&text("qwen3_vl")).unwrap();
    let object = newer["text_config"].as_object_mut().unwrap();
    let mut rope = object.remove("rope_scaling").unwrap();
    rope["rope_theta"] = object.remove("rope_theta").unwrap();
    object.insert("rope_parameters".to_owned(), rope);
    assert_eq!(VlmConfig::parse(&newer.to_string()).unwrap(), VlmConfig::parse(&text("qwen3_vl")).unwrap());
}

#[test]
fn deberta_refuses_what_it_does_not_have() {
    let check = |pointer: &str, value: Value, expect: &str| {
        let error = DebertaConfig::parse(&changed("deberta_v2", pointer, value)).unwrap_err().to_string();
        assert!(error.contains(expect), "{pointer}: {error}");
    };
    check("/relative_attention", json!(false), "relative_attention");
    check("/position_biased_input", Value::Null, "position_biased_input");
    check("/type_vocab_size", json!(2), "type_vocab_size");
    check("/conv_kernel_size", json!(3), "conv_kernel_size");
    check("/num_attention_heads", json!(5), "does not divide");
    check("/model_type", json!("bert"), "deberta-v2");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any number in any place gives a config or an error.
    #[test]
    fn numbers_never_panic(place in 0usize..64, value in prop_oneof![Just(json!(0)), Just(json!(-1)), Just(json!(u64::MAX)), Just(json!(1e308)), Just(json!([])), any::<u32>().prop_map(|v| json!(v))]) {
        for name in ["qwen3_vl", "qwen2_5_vl", "deberta_v2"] {
            let mut config: Value = serde_json::from_str(&text(name)).unwrap();
            let mut slots = Vec::new();
            collect(&config, String::new(), &mut slots);
            let pointer = &slots[place % slots.len()];
            *config.pointer_mut(pointer).unwrap() = value.clone();
            let _ = VlmConfig::parse(&config.to_string());
            let _ = DebertaConfig::parse(&config.to_string());
        }
    }

    /// Any text gives an error at worst.
    #[test]
    fn text_never_panics(noise in ".{0,200}") {
        let _ = VlmConfig::parse(&noise);
        let _ = DebertaConfig::parse(&noise);
    }
}

fn collect(value: &Value, at: String, slots: &mut Vec<String>) {
    if let Value::Object(map) = value {
        for (key, inner) in map {
            collect(inner, format!("{at}/{key}"), slots);
            slots.push(format!("{at}/{key}"));
        }
    }
}
