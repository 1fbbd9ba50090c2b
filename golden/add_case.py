"""Adds the reference's numbers to a model folder that Roadscribe wrote, so that `cargo xtask golden FOLDER` compares the two.

    python golden/add_case.py FOLDER        (transformers 4.57.6, torch 2.11.0, CPU, float32, eager attention)

transformers loads the folder as it is: a missing or unexpected tensor is an error here.
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

folder = pathlib.Path(sys.argv[1])
model, report = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
problems = {key: value for key, value in report.items() if value}
assert not problems, problems
tokenizer = AutoTokenizer.from_pretrained(folder)
config = model.config
words = tokenizer.encode("The car keeps to the right lane beside a white van.")
block = [config.vision_start_token_id] + [config.video_token_id] * 24 + [config.vision_end_token_id]
ids = torch.tensor([words + tokenizer.encode("<0.5 seconds>") + block + tokenizer.encode("<1.5 seconds>") + block + words])
labels = ids.clone()
labels[:, : -len(words)] = -100
grid = torch.tensor([[2, 8, 12]])
patch = config.vision_config
values = patch.in_channels * patch.temporal_patch_size * patch.patch_size**2
pixels = torch.randn(int(grid.prod()), values, generator=torch.Generator().manual_seed(1))
result = model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values_videos=pixels, video_grid_thw=grid, labels=labels)
result.loss.backward()
positions, _ = model.model.get_rope_index(ids, None, grid, attention_mask=torch.ones_like(ids))
embeds, features = model.model.visual(pixels, grid_thw=grid)
case = {"input_ids": ids, "labels": labels, "pixel_values_videos": pixels, "video_grid_thw": grid, "position_ids": positions}
case |= {"logits": result.logits, "loss": result.loss.reshape(1), "visual_embeds": embeds}
case |= {f"deepstack_embeds.{i}": feature for i, feature in enumerate(features)}
case |= {f"grad.{name}": weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
save_file({name: tensor.detach().clone().contiguous() for name, tensor in case.items()}, folder / "case_forward_backward.safetensors")
print(folder, "loads in transformers; loss", result.loss.item())
