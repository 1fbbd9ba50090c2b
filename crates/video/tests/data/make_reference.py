"""Writes the small reference files of this folder: run with torch, torchvision and Pillow installed.

  python make_reference.py
resize_KERNEL_WxH.rgb: a 37x23 picture of pseudo-random bytes (a linear congruential sequence), resized; raw RGB.
linspace.txt: torch.linspace(start, end, count).round() where f32, exact and unfused arithmetic disagree, and some others.
"""
import os, random
import numpy as np, torch

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def linspace():
    random.seed(7)
    lines = []
    for attempt in range(4000):
        count = random.choice([4, 8, 10, 14, 16, 24, 30, 32, 48, 64, 100, 128])
        start = random.choice([0, random.randint(0, 4000)])
        end = start + count + random.randint(0, random.choice([60, 200, 1000, 20000]))
        i = np.arange(count)
        got = torch.linspace(start, end, count).round().long().numpy()
        step = np.float32(end - start) / np.float32(count - 1)
        unfused = np.where(i < count // 2, np.float32(start) + step * i.astype(np.float32), np.float32(end) - step * (count - 1 - i).astype(np.float32))
        exact = start + (end - start) * i / (count - 1)
        if (got != np.round(unfused)).any() or (got != np.round(exact)).any() or attempt < 10:
            lines.append(" ".join(map(str, [start, end, count, *got])))
    open(os.path.join(HERE, "linspace.txt"), "w").write("\n".join(lines) + "\n")


def resize():
    from PIL import Image
    import torchvision.transforms.functional as v1
    from torchvision.transforms.v2 import functional as v2
    width, height, state, values = 37, 23, 1, []
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state >> 24)
    picture = np.array(values, np.uint8).reshape(height, width, 3)
    chw = torch.from_numpy(picture).permute(2, 0, 1).contiguous()
    bicubic = v1.InterpolationMode.BICUBIC
    for w, h in [(16, 12), (50, 41)]:
        results = {
            "torch_f32": v1.resize(chw, [h, w], interpolation=bicubic, antialias=True).permute(1, 2, 0).numpy(),
            "torchvision_u8": v2.resize(chw, [h, w], interpolation=bicubic, antialias=True).permute(1, 2, 0).numpy(),
            "pil": np.array(Image.fromarray(picture).resize((w, h), Image.Resampling.BICUBIC)),
        }
        for name, result in results.items():
            open(os.path.join(HERE, f"resize_{name}_{w}x{h}.rgb"), "wb").write(result.tobytes())


if __name__ == "__main__":
    linspace()
    resize()
