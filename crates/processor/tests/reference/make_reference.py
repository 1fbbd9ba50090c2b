"""Reference values for the processor's tests, from qwen-vl-utils 0.0.14 and transformers 4.57.6.

  python make_reference.py TOKENIZER_JSON TEMPLATES_DIR reference.json
TOKENIZER_JSON is the built-in tokenizer (`builtin_tokenizer_json(SpecialIds::Compact)`); TEMPLATES_DIR holds the published
chat templates as qwen3_vl.jinja and qwen2_5_vl.jinja. Run again when the merges change.
"""
import json, os, random, sys
from types import SimpleNamespace
import numpy as np
import torch

os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"
from qwen_vl_utils import vision_process as qvu
from transformers import Qwen2TokenizerFast, Qwen2VLImageProcessorFast, Qwen2VLVideoProcessor, Qwen2_5_VLProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as image_smart_resize
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as clip_smart_resize

tokenizer_json, templates, out_file = sys.argv[1:4]
rng = random.Random(20)
OPENAI_MEAN, OPENAI_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def attempt(function):
    """The result, or None where the reference refuses."""
    try:
        return function()
    except Exception:
        return None


def per_frame(height, width, nframes, factor, limits):
    """The size to which qwen_vl_utils resizes a clip, without making one."""
    size = []
    def resize(video, wanted, **_):
        assert min(wanted) > 0
        size.extend(wanted)
        return torch.zeros(1)
    clip = torch.zeros(1, 1, 1, 1).expand(nframes, 3, height, width)
    qvu.VIDEO_READER_BACKENDS["decord"] = lambda ele: (clip, {}, 1.0)
    qvu.transforms.functional.resize = resize
    qvu.fetch_video({"video": "clip", **{k: v for k, v in limits.items() if v is not None}}, image_patch_size=factor // 2)
    return size


def sizes():
    rows = []
    for _ in range(300):
        height, width = (rng.choice([480, 540, 560, 640, 704, 720, 1080, 1220, 2160, rng.randint(1, 3000)]) for _ in range(2))
        nframes, factor = rng.choice([2, 4, 8, 16, 32, 100, 768]), rng.choice([32, 28])
        kind = rng.choice(["frame", "frame", "clip", "image", "fixed"])
        low = rng.choice([None, 1024, 3136, 16384, 131072, rng.randint(1, 10**6)])
        high = rng.choice([None, 12288, 81920, 360000, 602112, rng.randint(1, 10**7)])
        total = rng.choice([None, None, 10**6, 3774873, 25165824, rng.randint(1, 10**8)])
        if kind == "frame":
            size = attempt(lambda: per_frame(height, width, nframes, factor, dict(min_pixels=low, max_pixels=high, total_pixels=total)))
        elif kind == "fixed":
            total = None
            size = attempt(lambda: per_frame(100, 100, nframes, factor, dict(resized_height=height, resized_width=width)))
        else:
            low, high, total = low or 4096, high or 25165824, None
            if high < low: low, high = high, low
            size = attempt(lambda: list(clip_smart_resize(nframes, height, width, 2, factor, low, high) if kind == "clip" else image_smart_resize(height, width, factor, low, high)))
        rows.append([kind, height, width, nframes, factor, low, high, total, size])
    return rows


def times():
    rows = []
    for _ in range(60):
        fps = rng.choice([30.0, 25.0, 24.0, 10.0, 4.0, 30000 / 1001, 60000 / 1001, rng.uniform(1, 120)])
        indices = sorted(rng.randint(0, rng.choice([40, 900, 100000])) for _ in range(rng.randint(1, 9)))
        seconds = Qwen3VLProcessor._calculate_timestamps(None, list(indices), fps, 2)
        rows.append([indices, fps, [f"<{s:.1f} seconds>" for s in seconds]])
    return rows


def positions():
    tokens = dict(vision_start_token_id=90, image_token_id=92, video_token_id=93)
    rows = []
    for number in range(40):
        qwen3, per_second = number % 2 == 0, rng.choice([2, 4, 25])
        ids, grids, images, videos, seconds = [], [], [], [], []
        text = lambda: ids.extend(rng.randint(0, 80) for _ in range(rng.randint(0, 6)))
        for _ in range(rng.randint(0, 3)):
            text()
            grid = [rng.randint(1, 4), 2 * rng.randint(1, 4), 2 * rng.randint(1, 4)]
            video = rng.random() < 0.7
            if not video: grid[0] = 1
            tokens_of = grid[1] * grid[2] // 4
            for count in [tokens_of] * grid[0] if qwen3 and video else [tokens_of * grid[0]]:
                ids.extend([rng.randint(0, 80), 90] + [93 if video else 92] * count + [91])
            grids.append(grid)
            (videos if video else images).append(grid)
            if video: seconds.append(rng.choice([1.0, 0.5, 2.0, 1.9999, 3.75, 2 / 30]))
        text()
        ids.append(7)
        config = SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=2, tokens_per_second=per_second), **tokens)
        tensor = lambda x: torch.tensor(x) if x else None
        args = [SimpleNamespace(config=config), torch.tensor([ids]), tensor(images), tensor(videos)]
        if qwen3: where, delta = Qwen3VLModel.get_rope_index(*args)
        else: where, delta = Qwen2_5_VLModel.get_rope_index(*args, second_per_grid_ts=tensor(seconds))
        rows.append(dict(family="qwen3_vl" if qwen3 else "qwen2_5_vl", ids=ids, grids=grids, second_per_grid_ts=seconds, tokens_per_second=per_second,
                         position_ids=where[:, 0].tolist(), rope_delta=int(delta.flatten()[0])))
    return rows


def frames(count, height, width):
    t, y, x, c = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return torch.tensor(((t * 80 + y * 3 + x * 5 + c * 7 + x * y) % 256).astype(np.uint8)).permute(0, 3, 1, 2)


def fnv(values):
    """64-bit FNV-1a of the little-endian f32 bytes."""
    state = 0xCBF29CE484222325
    for byte in values.contiguous().numpy().astype("<f4").tobytes():
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    return f"{state:016x}"


def processors():
    tok = Qwen2TokenizerFast(tokenizer_file=tokenizer_json, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    half = dict(image_mean=[0.5] * 3, image_std=[0.5] * 3, patch_size=16, temporal_patch_size=2, merge_size=2)
    clip = dict(image_mean=OPENAI_MEAN, image_std=OPENAI_STD, patch_size=14, temporal_patch_size=2, merge_size=2)
    template = lambda name: open(os.path.join(templates, name + ".jinja")).read()
    qwen3 = Qwen3VLProcessor(Qwen2VLImageProcessorFast(**half), tok, Qwen3VLVideoProcessor(**half), chat_template=template("qwen3_vl"))
    qwen2_5 = Qwen2_5_VLProcessor(Qwen2VLImageProcessorFast(**clip), tok, Qwen2VLVideoProcessor(**clip), chat_template=template("qwen2_5_vl"))
    return {"qwen3_vl": (qwen3, 16), "qwen2_5_vl": (qwen2_5, 14)}


def patches():
    rows = []
    for family, (processor, patch) in processors().items():
        for count in (1, 3, 4):
            got = processor.video_processor([frames(count, patch * 4, patch * 6)], do_resize=False, do_sample_frames=False, return_tensors="pt")
            rows.append([family, count, patch * 4, patch * 6, got["video_grid_thw"][0].tolist(), fnv(got["pixel_values_videos"])])
    return rows


def conversations():
    text = lambda s: {"type": "text", "text": s}
    video, image = {"type": "video", "video": "x"}, {"type": "image", "image": "x"}
    system, user, answer = ({"role": r} for r in ("system", "user", "assistant"))
    cases = [
        [user | {"content": "Hi"}],
        [user | {"content": [video, text("Caption the video in detail.")]}],
        [system | {"content": "You are a helpful assistant."}, user | {"content": [video, text("What happens?")]}],
        [system | {"content": [text("Two "), text("parts")]}, user | {"content": [text("Before "), video, text(" between "), video, text("after")]}],
        [user | {"content": [image, video, text("Compare.")]}, answer | {"content": "A car stops."}, user | {"content": "Why?"}],
        [user | {"content": [text("Only text")]}, answer | {"content": [text("One "), text("answer")]}, user | {"content": [video]}, answer | {"content": "Two"}],
        [system | {"content": ""}, user | {"content": "\n leading and trailing \n"}],
    ]
    indices, fps, rows = [0, 7, 15, 22], 7.5, []
    for family, (processor, patch) in processors().items():
        clip = frames(4, patch * 4, patch * 6)
        for case in cases:
            for generate in (False, True):
                shown = json.dumps(case).count('"type": "video"'), json.dumps(case).count('"type": "image"')
                template = processor.apply_chat_template(case, tokenize=False, add_generation_prompt=generate)
                args = dict(text=[template], return_tensors="pt", do_resize=False)
                if shown[0]: args |= dict(videos=[clip] * shown[0], do_sample_frames=False, video_metadata=[dict(fps=fps, frames_indices=list(indices), total_num_frames=30)] * shown[0])
                if shown[1]: args |= dict(images=[clip[0]] * shown[1])
                ids = processor(**args)["input_ids"][0].tolist()
                rows.append(dict(family=family, turns=case, generate=generate, text=template, ids=ids))
    return dict(frame_indices=indices, fps=fps, cases=rows)


reference = dict(smart_resize=sizes(), timestamps=times(), positions=positions(), patches=patches(), conversations=conversations())
with open(out_file, "w") as out:
    out.write("{\n")
    for number, (name, rows) in enumerate(reference.items()):
        if isinstance(rows, list): body = "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"
        else: body = json.dumps(rows, separators=(",", ":"))
        out.write(f'"{name}": {body}{"," if number + 1 < len(reference) else ""}\n')
    out.write("}\n")
