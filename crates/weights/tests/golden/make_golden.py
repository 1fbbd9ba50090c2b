"""Makes the files of this folder with the reference implementation: pip install torch safetensors, python make_golden.py

Values are exact in every type used, so the test compares bits. Made with torch 2.11.0, safetensors 0.8.0.
"""
import json
import torch
from safetensors.torch import save_file

ramp = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8 - 1
save_file(
    {
        "f32": ramp,
        "bf16": ramp.to(torch.bfloat16),
        "f16": ramp.to(torch.float16),
        "f16_edge": torch.tensor([65504.0, 6e-8, -0.0, float("inf")], dtype=torch.float16),
        "bf16_rounded": torch.tensor([0.1, 1.0 / 3.0, 3.3895e38, 1e-40], dtype=torch.float32).to(torch.bfloat16),
        "i64": torch.tensor([-1, 2**40, 7]),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "f64": torch.tensor([0.1], dtype=torch.float64),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 5),
    },
    "mixed.safetensors",
    metadata={"format": "pt", "note": "gr\u00fc\u00dfe"},
)

a, b, c = torch.ones(2, 2), torch.full((3,), 2.0), torch.full((1, 2), -3.0)
save_file({"a": a, "b": b}, "sharded/model-00001-of-00002.safetensors", metadata={"format": "pt"})
save_file({"c": c}, "sharded/model-00002-of-00002.safetensors", metadata={"format": "pt"})
index = {
    "metadata": {"total_size": 36},
    "weight_map": {
        "a": "model-00001-of-00002.safetensors",
        "b": "model-00001-of-00002.safetensors",
        "c": "model-00002-of-00002.safetensors",
    },
}
with open("sharded/model.safetensors.index.json", "w") as f:
    json.dump(index, f, indent=2)
