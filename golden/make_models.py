"""Makes golden/models: tiny random models of each family with the reference's numbers for them.

Pinned: transformers 4.57.6, torch 2.11.0, CPU, float32, eager attention.
    python golden/make_models.py golden/models

Every folder has config.json and model.safetensors as transformers saves them, and
    case_forward_backward.safetensors   inputs, positions, logits, visual features, loss, every gradient (grad.NAME)
    case_greedy.safetensors             generated_ids of a greedy continuation
    train.json                          losses of a few AdamW steps
or, for DeBERTa, case_forward.safetensors. `cargo xtask golden golden/models` reads them, and so does `cargo test`.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

SPECIAL = {"vision_start_token_id": 90, "vision_end_token_id": 91, "image_token_id": 92, "video_token_id": 93}
VOCABULARY = 96


def shake(model, seed):
    """Weights large enough that a mistake anywhere shows in the logits."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=source)
            if weight.ndim > 1:
                weight.copy_(noise * 0.7 / weight[0].numel() ** 0.5)
            else:
                weight.copy_(noise * 0.1 + (1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0))
    return model.eval()


def prompt(config, grids, block_per_frame_pair, seed):
    """Words, then for each video its vision blocks, then the words that are trained."""
    source = torch.Generator().manual_seed(seed)
    merge = config.vision_config.spatial_merge_size
    ids = []

    def words(count):
        ids.extend(torch.randint(3, 90, (count,), generator=source).tolist())

    def block(tokens):
        ids.extend([SPECIAL["vision_start_token_id"]] + [SPECIAL["video_token_id"]] * tokens + [SPECIAL["vision_end_token_id"]])

    words(4)
    for t, h, w in grids:
        per_frame_pair = h * w // merge**2
        for _ in range(t if block_per_frame_pair else 1):
            words(2)
            block(per_frame_pair if block_per_frame_pair else per_frame_pair * t)
    trained_from = len(ids) + 2
    words(9)
    ids = torch.tensor([ids])
    labels = ids.clone()
    labels[:, :trained_from] = -100
    patch = config.vision_config
    values = 3 * patch.temporal_patch_size * patch.patch_size**2
    pixels = torch.randn(sum(t * h * w for t, h, w in grids), values, generator=source)
    return ids, labels, pixels, torch.tensor(grids)


def contiguous(tensors):
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def write_vlm(folder, model, grids, block_per_frame_pair, extra):
    folder.mkdir(parents=True, exist_ok=True)
    shake(model, 21).save_pretrained(folder)
    ids, labels, pixels, grid = prompt(model.config, grids, block_per_frame_pair, 22)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values_videos": pixels, "video_grid_thw": grid, **extra}
    positions, _ = model.model.get_rope_index(ids, None, grid, attention_mask=torch.ones_like(ids), **extra)
    result = model(**inputs, labels=labels)
    result.loss.backward()
    case = {"input_ids": ids, "labels": labels, "pixel_values_videos": pixels, "video_grid_thw": grid, "position_ids": positions, **extra}
    case |= {"logits": result.logits, "loss": result.loss.reshape(1)}
    seen = model.model.visual(pixels, grid_thw=grid)
    embeds, features = seen if isinstance(seen, tuple) else (seen, [])
    case |= {"visual_embeds": embeds} | {f"deepstack_embeds.{i}": feature for i, feature in enumerate(features)}
    case |= {f"grad.{name}": weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    save_file(contiguous(case), folder / "case_forward_backward.safetensors")

    with torch.no_grad():
        generated = model.generate(**inputs, max_new_tokens=12, min_new_tokens=12, do_sample=False)
    save_file({"generated_ids": generated[:, ids.shape[1] :].contiguous()}, folder / "case_greedy.safetensors")

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    (folder / "train.json").write_text(json.dumps({"losses": losses}) + "\n")


def qwen3_vl():
    text = dict(
        vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=12,
        rope_theta=5e6, rope_scaling={"rope_type": "default", "mrope_section": [2, 2, 2], "mrope_interleaved": True}, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=512,
    )
    vision = dict(
        depth=3, hidden_size=16, intermediate_size=24, num_heads=2, patch_size=4, spatial_merge_size=2, temporal_patch_size=2, out_hidden_size=24,
        num_position_embeddings=25, deepstack_visual_indexes=[0, 2],
    )
    config = Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **SPECIAL)
    return Qwen3VLForConditionalGeneration._from_config(config, attn_implementation="eager")


def qwen2_5_vl():
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            rope_theta=1e6, rope_scaling={"type": "mrope", "rope_type": "default", "mrope_section": [2, 2, 2]}, tie_word_embeddings=False,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=512,
        ),
        vision_config=dict(
            depth=3, hidden_size=16, intermediate_size=20, num_heads=2, patch_size=4, spatial_merge_size=2, temporal_patch_size=2, out_hidden_size=24,
            tokens_per_second=2, window_size=16, fullatt_block_indexes=[1],
        ),
        vocab_size=VOCABULARY, hidden_size=24, tie_word_embeddings=False, **SPECIAL,
    )
    return Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="eager")


def deberta_v2(folder):
    folder.mkdir(parents=True, exist_ok=True)
    config = DebertaV2Config(
        vocab_size=80, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32, max_position_embeddings=64, type_vocab_size=0,
        layer_norm_eps=1e-7, relative_attention=True, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"],
        position_biased_input=False, num_labels=1, pooler_hidden_size=24, pooler_hidden_act="gelu", pad_token_id=0,
    )
    model = shake(DebertaV2ForSequenceClassification(config), 23)
    model.save_pretrained(folder)
    ids = torch.randint(4, 80, (3, 50), generator=torch.Generator().manual_seed(24))
    mask = torch.ones_like(ids)
    mask[1, 31:] = 0
    mask[2, 3:] = 0
    ids = ids * mask
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
    save_file({"input_ids": ids, "attention_mask": mask, "logits": logits}, folder / "case_forward.safetensors")


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    write_vlm(out / "qwen3_vl", qwen3_vl(), [(2, 4, 6), (1, 6, 4)], True, {})
    write_vlm(out / "qwen2_5_vl", qwen2_5_vl(), [(2, 6, 10), (1, 4, 4)], False, {"second_per_grid_ts": torch.tensor([1.0, 2.0])})
    deberta_v2(out / "deberta_v2")
