"""Compares our decoding with decord's and torchcodec's: a developer's tool, not needed to build or use anything.

  bash ../shared/clips/make_fixtures.sh target/fixtures              (needs ffmpeg with libx264)
  cargo build --release -p video --features ffmpeg --example bench
  python bench/decode.py                                             (needs pip packages decord, torchcodec, torch, pillow)

Takes 16 uniformly spaced frames of a 20 s 1936x1220 H.264 clip with key frames every 250 and every 30 frames, one
thread each, all in one run, in turns; prints the least CPU time of each and its ratio to the peers, as a table.
"""
import json, os, resource, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIXTURES = os.path.join(ROOT, "target", "fixtures")
OURS = os.path.join(ROOT, "target", "release", "examples", "bench")
NFRAMES, ROUNDS = 16, int(sys.argv[1]) if len(sys.argv) > 1 else 3


def clips():
    long_gop = os.path.join(FIXTURES, "recipe_20s_h264.mp4")
    short_gop = os.path.join(FIXTURES, "recipe_20s_h264_g30.mp4")
    if not os.path.exists(short_gop):
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", long_gop, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "6800k",
                        "-g", "30", "-bf", "3", short_gop], check=True)
    return {"GOP 250": long_gop, "GOP 30": short_gop}


def cpu_ms():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1000


def peer(read):
    start = cpu_ms()
    read()
    return cpu_ms() - start


def with_decord(clip):
    import decord
    reader = decord.VideoReader(clip, num_threads=1)
    return reader.get_batch([round(i * (len(reader) - 1) / (NFRAMES - 1)) for i in range(NFRAMES)]).asnumpy()


def with_torchcodec(clip):
    from torchcodec.decoders import VideoDecoder
    decoder = VideoDecoder(clip, num_ffmpeg_threads=1)
    last = decoder.metadata.num_frames - 1
    return decoder.get_frames_at([round(i * last / (NFRAMES - 1)) for i in range(NFRAMES)]).data


def ours(clip, backend):
    return json.loads(subprocess.run([OURS, clip, str(NFRAMES), backend, "1"], check=True, capture_output=True, text=True).stdout.splitlines()[0])


def main():
    import torch
    torch.set_num_threads(1)
    print("| clip | back-end | frames decoded (minimum) of total | CPU ms | decord | torchcodec | to decord | to torchcodec |")
    print("|---|---|---|---|---|---|---|---|")
    for name, clip in clips().items():
        best, reports = {}, {}
        with_decord(clip), with_torchcodec(clip)  # libraries loaded, file in the page cache
        for _ in range(ROUNDS):
            for backend in ("ffmpeg", "pure"):
                reports[backend] = ours(clip, backend)
                best[backend] = min(best.get(backend, 1e9), reports[backend]["cpu_ms"])
            best["decord"] = min(best.get("decord", 1e9), peer(lambda: with_decord(clip)))
            best["torchcodec"] = min(best.get("torchcodec", 1e9), peer(lambda: with_torchcodec(clip)))
        for backend, report in reports.items():
            mine, a, b = best[backend], best["decord"], best["torchcodec"]
            print(f"| {name} | {backend} | {report['frames_decoded']} ({report['frames_decoded_min']}) of {report['total_frames']} "
                  f"| {mine:.0f} | {a:.0f} | {b:.0f} | {mine / a:.2f} | {mine / b:.2f} |", flush=True)


if __name__ == "__main__":
    main()
