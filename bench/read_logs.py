"""Reads the logs of a run with TensorBoard's and W&B's own readers and compares them with metrics.jsonl.

usage: read_logs.py RUN_DIR      (pip install tensorboard wandb==0.19.11; RUN_DIR is train.output_dir)

Prints one JSON line; exit status 0 only if every row of metrics.jsonl is shown by both readers.
wandb 0.19 is the last line of versions whose reader is Python; `wandb sync RUN_DIR/wandb/offline-run-*` uploads the same files.
"""
import glob
import json
import sys


def rows_of(path):
    with open(path) as lines:
        return {row["step"]: row for row in map(json.loads, lines)}


def tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(run + "/tensorboard", size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in tags}


def wandb(run):
    import wandb
    wandb._assert_is_internal_process = True
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore
    found, runs, exits, steps = {}, [], [], []
    for path in sorted(glob.glob(run + "/wandb/offline-run-*/run-*.wandb")):
        store = DataStore()
        store.open_for_scan(path)
        while (data := store.scan_data()) is not None:
            record = Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "history":
                steps.append(record.history.step.num)
                for item in record.history.item:
                    found.setdefault(item.key, {})[record.history.step.num] = json.loads(item.value_json)
            elif kind == "run":
                runs.append(record.run)
            elif kind == "exit":
                exits.append(record.exit.exit_code)
    return found, runs, exits, len(steps) - len(set(steps))


def missing(rows, found, tolerance):
    count = 0
    for step, row in rows.items():
        for key, value in row.items():
            if key == "step" or not isinstance(value, (int, float)):
                continue
            got = found.get(key, {}).get(step)
            count += got is None or abs(got - float(value)) > tolerance * max(1.0, abs(value))
    return count


def main():
    run = sys.argv[1].rstrip("/")
    rows = rows_of(run + "/metrics.jsonl")
    report = {"bench": "read_logs", "steps": len(rows)}
    try:
        report["tensorboard_missing"] = missing(rows, tensorboard(run), 1e-6)
    except ImportError:
        report["tensorboard_missing"] = None
    try:
        found, runs, exits, double = wandb(run)
        # `wandb sync` moves a second row of a step to the next step, so that there must be none.
        report["wandb_missing"] = missing(rows, found, 1e-12) + double
        report["wandb_files"], report["wandb_ids"] = len(runs), len({r.run_id for r in runs})
        report["wandb_run"] = [runs[0].project, runs[0].display_name, len(runs[0].config.update), exits]
    except ImportError:
        report["wandb_missing"] = None
    print(json.dumps(report))
    seen = [report["tensorboard_missing"], report["wandb_missing"]]
    return 0 if all(count in (0, None) for count in seen) and any(count == 0 for count in seen) else 1


if __name__ == "__main__":
    sys.exit(main())
