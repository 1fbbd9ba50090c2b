"""Writes the small reference files of this folder: run with torch, torchvision and Pillow installed.

  python make_reference.py
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
        count = random.choice([4, 8, 10, 14, 16, 24, 30, 32, 48, 64])
        start = random.choice([0, random.randint(0, 4000)])
        end = start + random.randint(count, random.choice([200, 1000, 20000]))
        i = np.arange(count)
        got = torch.linspace(start, end, count).round().long().numpy()
        step = np.float32(end - start) / np.float32(count - 1)
        unfused = np.where(i < count // 2, np.float32(start) + step * i.astype(np.float32), np.float32(end) - step * (count - 1 - i).astype(np.float32))
        exact = start + (end - start) * i / (count - 1)
        if (got != np.round(unfused)).any() or (got != np.round(exact)).any() or attempt < 10:
            lines.append(" ".join(map(str, [start, end, count, *got])))
    open(os.path.join(HERE, "linspace.txt"), "w").write("\n".join(lines) + "\n")


if __name__ == "__main__":
    linspace()
