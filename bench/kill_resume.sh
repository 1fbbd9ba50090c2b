#!/usr/bin/env bash
# Kills a run with SIGKILL at 20 random moments, resumes it each time, and checks that it ends in the same bits as a run
# that was never touched: weights, moments, exported model, and the logs of samples and metrics.
#
# bench/kill_resume.sh [BINARY] [KILLS]       prints one JSON line; exit status 0 only if all is equal
set -euo pipefail

binary=${1:-target/release/roadscribe}
kills=${2:-20}
seed=${SEED:-$RANDOM}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
RANDOM=$seed

"$binary" init --config debug --out "$work/model" > "$work/init.log"
mkdir "$work/data"
here=$(cd "$(dirname "$0")/.." && pwd)
cp "$here"/crates/train/tests/data/*.mp4 "$work/data/"
cat > "$work/data/meta.json" <<'JSON'
[{"id":"red","conversation":[{"role":"user","content":"Light?"},{"role":"assistant","content":"Red."}]},
 {"id":"green","conversation":[{"role":"user","content":"Light?"},{"role":"assistant","content":"Green."}]},
 {"id":"rain","conversation":[{"role":"user","content":"Weather?"},{"role":"assistant","content":"Rain."}]},
 {"id":"road","conversation":[{"role":"user","content":"Road?"},{"role":"assistant","content":"Two lanes."}]},
 {"id":"absent","media":"none.mp4","conversation":[{"role":"user","content":"?"},{"role":"assistant","content":"-"}]},
 {"id":"bars","media":"testsrc.mp4","conversation":[{"role":"user","content":"What?"},{"role":"assistant","content":"Bars."}]},
 {"id":"fractal","media":"mandelbrot.mp4","conversation":[{"role":"user","content":"What?"},{"role":"assistant","content":"A fractal."}]}]
JSON

# Writes the config of a run into the given folder: 30 steps, a checkpoint after every second.
config() {
    cat > "$work/$1.toml" <<TOML
[custom.dataset]
dataset_root = "$work/data"
[custom.vision]
nframes = 4
min_pixels = 1024
max_pixels = 4096
[train]
output_dir = "$work/$1"
resume = true
epoch = 1000
max_num_steps = 30
train_batch_per_replica = 4
optm_lr = 1e-4
optm_warmup_steps = 0.1
optm_decay_type = "cosine"
seed = 5
[train.train_policy]
mini_batch = 2
[train.ckpt]
enable_checkpoint = true
save_freq = 2
max_keep = 3
[policy]
model_name_or_path = "$work/model"
TOML
}

# Replaces the calling shell, so that a signal to it hits the run itself.
run() { exec "$binary" train --config "$work/$1.toml" >> "$work/$1.log" 2>&1; }

config whole
begun=$(date +%s%N)
(run whole)
whole_ms=$((($(date +%s%N) - begun) / 1000000))

# Every kill falls within the time that a twentieth of the run takes, start-up included, or up to three times as long:
# so kills hit start-up, steps and saves, and the run still gets to its end.
config killed
done_kills=0
during_save=0
while [ "$done_kills" -lt "$kills" ]; do
    run killed &
    pid=$!
    sleep "$(awk -v r="$RANDOM" -v ms="$whole_ms" 'BEGIN { printf "%.3f", (r / 32767) * 3 * ms / 20000 }')"
    if ! kill -9 "$pid" 2> "$work/kill.log"; then
        wait "$pid" || { tail -5 "$work/killed.log"; exit 1; }
        # The run was through before its kills were: begin it anew.
        rm -rf "$work/killed"
        continue
    fi
    wait "$pid" 2> "$work/kill.log" || true
    done_kills=$((done_kills + 1))
    if compgen -G "$work/killed/.tmp-*" > "$work/kill.log"; then during_save=$((during_save + 1)); fi
done
(run killed)

equal=true
last=step_000030
for file in $last/state/params.safetensors $last/state/first_moments.safetensors $last/state/second_moments.safetensors \
    $last/model.safetensors samples.jsonl metrics.jsonl rejects.jsonl; do
    cmp "$work/whole/$file" "$work/killed/$file" || equal=false
done
printf '{"bench":"kill_resume","kills":%d,"during_save":%d,"steps":30,"seed":%d,"uninterrupted_ms":%d,"equal":%s}\n' \
    "$kills" "$during_save" "$seed" "$whole_ms" "$equal"
[ "$equal" = true ]
