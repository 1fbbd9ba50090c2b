"""Compares resize + normalise + patchify with Pillow's bicubic resize alone: a developer's tool.

  bash ../shared/clips/make_fixtures.sh target/fixtures
  cargo build --release -p processor --example patchify && cargo run --release -- init --config debug --out target/debug-model
  python bench/patchify.py                                             (needs the pip package pillow)

16 frames of the 20 s 1936x1220 clip to at most 360,000 pixels, CPU time, in turns, least of 10 each.
"""
import json, os, resource, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLIP = os.path.join(ROOT, "target", "fixtures", "recipe_20s_h264.mp4")


def cpu_ms():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1000


def main():
    from PIL import Image
    ours = json.loads(subprocess.run([os.path.join(ROOT, "target", "release", "examples", "patchify"), CLIP, os.path.join(ROOT, "target", "debug-model"),
                                      "16", "360000"], check=True, capture_output=True, text=True).stdout)
    width, height = map(int, ours["to"].split("x"))
    image = Image.frombytes("RGB", (1936, 1220), os.urandom(1936 * 1220 * 3))
    best = 1e9
    for _ in range(10):
        start = cpu_ms()
        image.resize((width, height), Image.BICUBIC)
        best = min(best, cpu_ms() - start)
    print(json.dumps({**ours, "pillow_bicubic_ms": round(best, 2), "times_faster": round(best / ours["cpu_ms_per_frame"], 2)}))


if __name__ == "__main__":
    main()
