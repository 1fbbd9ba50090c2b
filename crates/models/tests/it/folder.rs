//! Folders out and in again.

use super::{golden, qwen3_vl};
use models::{Preset, SpecialTokens, Vlm, VlmConfig, export_random, preset_config};
use tensor::{DType, Device};

const TOKENS: SpecialTokens = SpecialTokens {
    vocab_size: 64,
    endoftext: 58,
    im_end: 59,
    vision_start: 60,
    vision_end: 61,
    image_pad: 62,
    video_pad: 63,
};

#[test]
fn export_in_f32_comes_back_bit_for_bit() {
    let model = qwen3_vl();
    let dir = tempfile::tempdir().unwrap();
    model.export(dir.path(), DType::F32, &golden("qwen3_vl")).unwrap();
    let back = Vlm::open(dir.path(), &Device::Cpu).unwrap();
    assert_eq!(back.config, model.config);
    for (name, (a, b)) in model.params.names().zip(model.params.tensors().iter().zip(back.params.tensors())) {
        assert!(a.to_vec().iter().zip(b.to_vec()).all(|(x, y)| x.to_bits() == y.to_bits()), "{name}");
    }
}

#[test]
fn random_models_are_the_same_streamed_or_held() {
    let config = VlmConfig::parse(&preset_config(Preset::Debug, TOKENS).to_string()).unwrap();
    let (streamed, held) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = export_random(&config, 7, streamed.path(), DType::F32).unwrap();
    let model = Vlm::random(config.clone(), 7, &Device::Cpu).unwrap();
    let second = weights::export(
        held.path(),
        &model.entries(),
        &weights::ExportOptions { dtype: DType::F32, ..Default::default() },
    )
    .unwrap();
    assert_eq!(first.content_hash, second.content_hash);
    let other = Vlm::random(config, 8, &Device::Cpu).unwrap();
    assert_ne!(other.params.tensors()[0].to_vec(), model.params.tensors()[0].to_vec());
}

#[test]
fn weights_of_another_config_are_one_error_with_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(golden("qwen3_vl").join("config.json")).unwrap();
    std::fs::write(
        dir.path().join("config.json"),
        config.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"),
    )
    .unwrap();
    std::fs::copy(golden("qwen3_vl").join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let error = Vlm::open(dir.path(), &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("model.language_model.layers.3.mlp.up_proj.weight"), "{error}");
}
