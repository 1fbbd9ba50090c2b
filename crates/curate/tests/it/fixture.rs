//! Sources of a few clips: pictures with blocks that a number chooses, and labels in the three formats.

use std::path::{Path, PathBuf};

use curate::{Card, Config, Error, Hooks, Reject, Source, SourceKind, Task};
use serde_json::{Value, json};
use video::{Mp4Writer, Rational, RgbFrame};

/// A folder with sources, and where the set goes.
pub struct World {
    pub folder: tempfile::TempDir,
}

/// Uuids are names of drives here: `drive` hexadecimal digits, then the clip.
pub fn name(drive: u32, clip: u32) -> String {
    format!("{drive:08x}-{clip:04x}")
}

impl World {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Writes `<source>/metas/<id>.label.json`.
    pub fn label(&self, source: &str, id: &str, text: &str) {
        write(&self.path(&format!("{source}/metas/{id}.label.json")), text.as_bytes());
    }

    /// Writes `<source>/videos/<id>.camera_front_wide_120fov.mp4`; `look` chooses what it shows.
    pub fn video(&self, source: &str, id: &str, look: u32, frames: u32) -> PathBuf {
        let path = self.path(&format!("{source}/videos/{id}.camera_front_wide_120fov.mp4"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        clip(&path, look, frames);
        path
    }

    /// A whole human clip of 2 s.
    pub fn human(&self, source: &str, id: &str, look: u32) {
        self.label(source, id, &human(look).to_string());
        self.video(source, id, look, 20);
    }

    /// A config over the folders named after the kinds, without any demand on texts being different.
    pub fn config(&self, sources: &[(SourceKind, &str, &[Task])]) -> Config {
        let source = |(kind, folder, tasks): &(SourceKind, &str, &[Task])| Source {
            kind: *kind,
            name: None,
            path: self.path(folder),
            tasks: tasks.to_vec(),
            reject_budget: None,
        };
        let mut config = Config { source: sources.iter().map(source).collect(), ..Config::default() };
        config.filters.near_caption = 0.0;
        config.preview.clips = 4;
        config.reject_budget = 1.0;
        config
    }

    pub fn run(&self, config: &Config) -> Result<Card, Error> {
        curate::run(config, &self.out(), &mut Hooks { progress: &mut |_| true, count_tokens: None })
    }

    pub fn rejects(&self) -> Vec<Reject> {
        records::jsonl::read(&self.out().join("rejects.jsonl")).unwrap().records
    }

    /// Entries of a `meta.json` of the set.
    pub fn meta(&self, folder: &str) -> Vec<Value> {
        let path = self.out().join(folder).join("meta.json");
        records::read_meta(&path).unwrap();
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// An mp4 at 10 frames a second whose coarse blocks depend on `look` alone.
pub fn clip(path: &Path, look: u32, frames: u32) {
    let (width, height) = (64u32, 48u32);
    let mut writer = Mp4Writer::create(path, width, height, Rational { num: 10, den: 1 }, 75).unwrap();
    for frame in 0..frames {
        let value = |i: u32| {
            let (x, y) = (i % width / 8, i / width / 8);
            let block = (x + 8 * y + 64 * look).wrapping_mul(2_654_435_761).rotate_left(15);
            let colour = [block as u8, (block >> 8) as u8, (block >> 16) as u8];
            colour.map(|c| c.saturating_add(frame as u8))
        };
        let data = (0..width * height).flat_map(value).collect();
        writer.write(&RgbFrame { width, height, data }).unwrap();
    }
    writer.finish().unwrap();
}

/// A label of 17 fields whose text depends on `look`.
pub fn human(look: u32) -> Value {
    json!({
        "weather": "Overcast", "lighting": "Daytime (low\u{2011}contrast daylight)", "road_conditions": "Dry asphalt",
        "traffic_light": "No traffic light", "traffic_sign": "None", "additional_traffic_rules": null,
        "road_type": "Local street", "junction_type": "Straight segment", "lane_type": "One lane",
        "additional_map_rules": null, "interactive_expanded_metaaction": ["Vehicle following"],
        "noninteractive_expanded_metaaction": null,
        "safety_analysis": format!("The ego vehicle follows car number {look} on a local street and keeps its lane."),
        "driving_difficulty": 2, "rule_violation": "False", "interesting_scenario": "True",
        "critical_object": [{"box": {"x1": 1.0, "y1": 2.0, "x2": 30.0, "y2": 40.0}, "box_time": 1,
            "critical_reasoning": "It is followed.", "object_type": "Vehicles - Light trucks & SUVs"}]
    })
}

pub fn cv(look: u32) -> Value {
    json!({"event_start_frame": 4, "event_start_timestamp": 1635960777652742i64, "final_content":
        {"ego_behavior_schema": {"ego_behavior_reasoning": format!("Vehicle number {look} brakes ahead of the ego vehicle."),
            "effect_on_ego_behavior": "Decelerating.", "difficulty_score": 3}}})
}

pub fn reasoning(look: u32, notice: &str) -> Value {
    json!({"response": {"description": format!("I drive along street number {look} and slow down at the corner."),
        "driving difficulity explanation": "It rains.", "notice": [{notice: "A corner."}]}})
}
