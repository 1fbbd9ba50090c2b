#!/usr/bin/env bash
# The training verbs on clips of yours, small: makes a model with random weights, fine-tunes it a few steps on the clips, and lets it
# caption one of them. `./quickstart CLIP...` calls it.
#
#   scripts/own_clips.sh                 clips of ../shared/clips if that folder is there, else one public clip (2.6 MB download),
#                                        else clips of a synthetic road that roadscribe draws itself
#   scripts/own_clips.sh CLIP.mp4...     your clips; the text in CLIP.txt beside a clip, if any, is its caption
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."
. scripts/needs.sh

# A highway seen from a car; MIT licence.
clip_url=https://github.com/udacity/CarND-LaneLines-P1/raw/master/test_videos/solidWhiteRight.mp4
clip_sha256=2d8e14b46fe89afbc8ad1f718685cf09b83e85a324095031c38186a9f0535417
steps=${STEPS:-40}

say() { printf '\n== %s\n' "$*"; }

sha256_of() {
    if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

# caption_of CLIP: the text that goes with it.
caption_of() {
    case $(basename "$1") in
        *solidWhiteRight*) echo "A sunny drive on a wide highway. The car keeps to the right lane beside a solid white line, with light traffic ahead and dry grass on the shoulder." ;;
        *freeway_van*) echo "A busy freeway in the late afternoon. A white pickup truck with a covered bed is close on the right, and a red car is ahead in the next lane." ;;
        *residential_turn*) echo "A quiet residential street. The car follows the road between brick houses, brown lawns and tall pine trees under a half clouded sky." ;;
        *)
            if [ -f "${1%.*}.txt" ]; then
                cat "${1%.*}.txt"
            else
                echo "A drive recorded by the camera of a car."
            fi
            ;;
    esac
}

# download_clip FILE: fails if there is no network or the file is not the one we know.
download_clip() {
    local file=$1
    say "downloading a public clip"
    if ! have curl || ! curl --proto '=https' -fsSL --connect-timeout 10 --max-time 120 -o "$file.part" "$clip_url"; then
        echo "could not download $clip_url"
        return 1
    fi
    if [ "$(sha256_of "$file.part")" != "$clip_sha256" ]; then
        echo "$clip_url is not the file it was (its sha256 differs)"
        return 1
    fi
    mv "$file.part" "$file"
}

# add_sample CLIP: copies a clip and its caption into the training set.
count=0
add_sample() {
    local clip=$1 name
    [ -f "$clip" ] || stop "$clip: no such file"
    count=$((count + 1))
    name=clip_$count
    cp "$clip" "$run/data/$name.mp4"
    caption_of "$clip" >"$run/data/$name.txt"
    entries="$entries${entries:+,}
  {\"id\": \"$name\", \"video\": \"$name.mp4\", \"text\": \"$name.txt\"}"
}

say "looking for what the build needs"
need_build

say "building (a few minutes the first time)"
cargo build --release --locked
roadscribe=${CARGO_TARGET_DIR:-target}/release/roadscribe
"$roadscribe" doctor

run=runs/quickstart-$(date +%Y%m%d-%H%M%S)
mkdir -p "$run/data"
entries=
if [ $# -gt 0 ]; then
    for clip in "$@"; do
        case $clip in
            /*) add_sample "$clip" ;;
            *) add_sample "$caller/$clip" ;;
        esac
    done
elif [ -d ../shared/clips ]; then
    for clip in udacity_solidWhiteRight_960x540 nv_freeway_van_1024x640 nv_residential_turn_1024x640; do
        add_sample "../shared/clips/$clip.mp4"
    done
else
    mkdir -p runs
    if [ -f runs/solidWhiteRight.mp4 ] || download_clip runs/solidWhiteRight.mp4; then
        add_sample runs/solidWhiteRight.mp4
    else
        echo "no real clip to be had: making clips of a synthetic road instead"
        "$roadscribe" demo --general 3 --out "$run/world"
        for clip in "$run"/world/clips/videos/*.mp4; do
            add_sample "$clip"
        done
    fi
fi
printf '[%s\n]\n' "$entries" >"$run/data/meta.json"
cat >"$run/sft.toml" <<TOML
[custom.dataset]
dataset_root = "$run/data"
user_prompt = "Caption the video in detail."

[custom.vision]
nframes = 8
min_pixels = 3136
max_pixels = 25600

[train]
output_dir = "$run/train"
epoch = $steps
max_num_steps = $steps
train_batch_per_replica = $count
optm_lr = 2e-3
optm_warmup_steps = 4
optm_weight_decay = 0.0

[train.train_policy]
type = "sft"
mini_batch = 1

[policy]
model_name_or_path = "$run/model"
TOML

say "a small model with random weights"
"$roadscribe" init --config debug --out "$run/model"

say "fine-tuning it for $steps steps on $count clip(s)"
"$roadscribe" train --config "$run/sft.toml"
checkpoint=$(ls -d "$run"/train/step_* | tail -n 1)

say "captioning a clip with it"
"$roadscribe" infer --model-name quickstart --checkpoint "$checkpoint" --nframes 8 --max-pixels 25600 \
    --out "$run/captions.jsonl" "$run/data/clip_1.mp4"

caption=$(sed -n '1s/.*"text":"\(\([^"\\]\|\\.\)*\)".*/\1/p' "$run/captions.jsonl")
[ -n "$caption" ] || stop "no caption in $run/captions.jsonl"
cat <<TEXT

The model has seen $count clip(s) $steps times and nothing else: it repeats what it was told, and knows no other road.

  clip         $run/data/clip_1.mp4
  told         $(cat "$run/data/clip_1.txt")
  caption      $caption

  training set $run/data            meta.json, clips, captions
  settings     $run/sft.toml        what this script trained with; change it and run
                                    $roadscribe train --config $run/sft.toml
  checkpoint   $checkpoint
  prediction   $run/captions.jsonl  with hashes of weights, clip and prompt
TEXT
