//! Against values that qwen_vl_utils and transformers gave (`tests/reference/make_reference.py`).

use processor::positions::{VideoTime, qwen2_5_vl, qwen3_vl};
use processor::{
    Family, FrameSize, GridThw, Overlength, Part, PixelBudget, Purpose, Role, SecondsPerGrid, Turn, VideoInput,
    VisionConfig, VisionTokenIds, patchify, smart_resize, timestamps,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use video::RgbFrame;

use crate::builtin;

#[derive(Deserialize)]
struct Reference {
    smart_resize: Vec<SizeRow>,
    timestamps: Vec<(Vec<u64>, f64, Vec<String>)>,
    positions: Vec<PositionsRow>,
    patches: Vec<(String, usize, u32, u32, [u32; 3], String)>,
    conversations: Conversations,
}

/// Kind of budget, height, width, frames, factor, fewest and most pixels, total pixels, the reference's height and width.
type SizeRow = (String, u32, u32, usize, u32, Option<u64>, Option<u64>, Option<u64>, Option<(u32, u32)>);

#[derive(Deserialize)]
struct PositionsRow {
    family: String,
    ids: Vec<u32>,
    grids: Vec<[u32; 3]>,
    second_per_grid_ts: Vec<f64>,
    tokens_per_second: f64,
    position_ids: [Vec<i32>; 3],
    rope_delta: i32,
}

#[derive(Deserialize)]
struct Conversations {
    frame_indices: Vec<u64>,
    fps: f64,
    cases: Vec<Conversation>,
}

#[derive(Deserialize)]
struct Conversation {
    family: String,
    turns: Vec<Value>,
    generate: bool,
    ids: Vec<u32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/reference.json")).unwrap()
}

fn family(name: &str) -> Family {
    Family::from_model_type(name).unwrap()
}

fn grid([t, h, w]: [u32; 3]) -> GridThw {
    GridThw { t, h, w }
}

#[test]
fn sizes() {
    let rows = reference().smart_resize;
    assert!(rows.len() >= 300);
    for (kind, height, width, nframes, factor, low, high, total_pixels, expect) in rows {
        let bounds = low.zip(high);
        let budget = match (kind.as_str(), bounds) {
            ("frame", _) => PixelBudget::PerFrame { min_pixels: low, max_pixels: high, total_pixels },
            ("fixed", _) => PixelBudget::Fixed { height, width },
            ("clip", Some((min_pixels, max_pixels))) => PixelBudget::PerClip { min_pixels, max_pixels },
            ("image", Some((min_pixels, max_pixels))) => PixelBudget::PerImage { min_pixels, max_pixels },
            other => panic!("{other:?}"),
        };
        let source = if kind == "fixed" { FrameSize { height: 100, width: 100 } } else { FrameSize { height, width } };
        let size = smart_resize(source, nframes, factor, budget).map(|size| (size.height, size.width));
        assert_eq!(
            size.as_ref().ok(),
            expect.as_ref(),
            "{kind} {height}x{width}, {nframes} frames, {factor}: {size:?}"
        );
    }
}

#[test]
fn times() {
    for (indices, fps, expect) in reference().timestamps {
        let texts: Vec<String> =
            timestamps(&indices, Some(fps), 2).iter().map(|seconds| format!("<{seconds:.1} seconds>")).collect();
        assert_eq!(texts, expect, "{indices:?} at {fps}");
    }
}

#[test]
fn positions_of_both_families() {
    let tokens = VisionTokenIds { vision_start: 90, vision_end: 91, image: 92, video: 93 };
    for row in reference().positions {
        let grids: Vec<GridThw> = row.grids.iter().copied().map(grid).collect();
        let time = VideoTime {
            second_per_grid_ts: &row.second_per_grid_ts,
            tokens_per_second: row.tokens_per_second,
            rounding: SecondsPerGrid::Truncated,
        };
        let positions = match family(&row.family) {
            Family::Qwen3Vl => qwen3_vl(&row.ids, &grids, &tokens, 2),
            Family::Qwen2_5Vl => qwen2_5_vl(&row.ids, &grids, &tokens, 2, time),
        }
        .unwrap();
        assert_eq!(positions.position_ids, row.position_ids, "{} {grids:?}", row.family);
        assert_eq!(positions.rope_delta, row.rope_delta);
    }
}

/// 64-bit FNV-1a of the little-endian bytes.
fn fnv(values: &[f32]) -> String {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    let state =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{state:016x}")
}

#[test]
fn patches_bit_for_bit() {
    for (name, count, height, width, expect_grid, expect) in reference().patches {
        let frames: Vec<RgbFrame> = (0..count)
            .map(|t| {
                let (rows, columns) = (height as usize, width as usize);
                let value = |i: usize| {
                    let (y, x, c) = (i / 3 / columns, i / 3 % columns, i % 3);
                    ((t * 80 + y * 3 + x * 5 + c * 7 + x * y) % 256) as u8
                };
                RgbFrame { width, height, data: (0..rows * columns * 3).map(value).collect() }
            })
            .collect();
        let (patches, got) = patchify(&frames, &VisionConfig::of_family(family(&name))).unwrap();
        assert_eq!(got, grid(expect_grid));
        assert_eq!(fnv(&patches), expect, "{name}, {count} frames");
    }
}

/// A turn of the script, with every video as input 0 and every image as input 1.
fn turn(json: &Value) -> Turn {
    let role = match json["role"].as_str().unwrap() {
        "system" => Role::System,
        "user" => Role::User,
        _ => Role::Assistant,
    };
    let part = |part: &Value| match part["type"].as_str().unwrap() {
        "video" => Part::Video(0),
        "image" => Part::Image(1),
        _ => Part::Text(part["text"].as_str().unwrap().to_owned()),
    };
    match &json["content"] {
        Value::String(text) => Turn::text(role, text),
        parts => Turn { role, content: parts.as_array().unwrap().iter().map(part).collect() },
    }
}

#[test]
fn conversations() {
    let reference = reference().conversations;
    assert!(reference.cases.len() >= 28);
    for case in reference.cases {
        let processor = builtin(family(&case.family));
        let clip = |t: u32| VideoInput {
            grid_thw: GridThw { t, h: 4, w: 6 },
            frame_indices: reference.frame_indices.clone(),
            source_fps: Some(reference.fps),
            sample_fps: 2.0,
            ..VideoInput::default()
        };
        let turns: Vec<Turn> = case.turns.iter().map(turn).collect();
        let purpose = if case.generate { Purpose::Generate } else { Purpose::Train };
        let encoded = processor.sample(&turns, &[clip(2), clip(1)], purpose, Overlength::Refuse, 4096).unwrap();
        assert_eq!(encoded.input.input_ids, case.ids, "{} {:?}", case.family, case.turns);
    }
}

proptest! {
    #[test]
    fn any_size_fits_or_is_refused(
        height: u32, width: u32, nframes in 0_usize..1000, factor in 0_u32..100,
        min_pixels in proptest::option::of(0_u64..1 << 40), max_pixels in proptest::option::of(0_u64..1 << 40), total_pixels: Option<u64>, kind in 0..4,
    ) {
        let (low, high) = (min_pixels.unwrap_or(0), max_pixels.unwrap_or(u64::MAX));
        let budget = match kind {
            0 => PixelBudget::PerFrame { min_pixels, max_pixels, total_pixels },
            1 => PixelBudget::PerClip { min_pixels: low, max_pixels: high },
            2 => PixelBudget::PerImage { min_pixels: low, max_pixels: high },
            _ => PixelBudget::Fixed { height: low as u32, width: high as u32 },
        };
        if let Ok(size) = smart_resize(FrameSize { height, width }, nframes, factor, budget) {
            prop_assert!(size.height > 0 && size.height % factor == 0 && size.width > 0 && size.width % factor == 0);
        }
    }

    #[test]
    fn any_ids_have_positions_or_are_refused(
        ids in proptest::collection::vec(88_u32..96, 0..60), grids in proptest::collection::vec(any::<[u32; 3]>(), 0..4), small: bool, merge_size in 0_u32..4,
        second_per_grid_ts in proptest::collection::vec(any::<f64>(), 0..3), tokens_per_second: f64, exact: bool,
    ) {
        let tokens = VisionTokenIds { vision_start: 90, vision_end: 91, image: 92, video: 93 };
        let grids: Vec<GridThw> = grids.into_iter().map(|g| grid(if small { g.map(|side| side % 5) } else { g })).collect();
        let rounding = if exact { SecondsPerGrid::Exact } else { SecondsPerGrid::Truncated };
        let time = VideoTime { second_per_grid_ts: &second_per_grid_ts, tokens_per_second, rounding };
        for positions in [qwen3_vl(&ids, &grids, &tokens, merge_size), qwen2_5_vl(&ids, &grids, &tokens, merge_size, time)].into_iter().flatten() {
            prop_assert!(positions.position_ids.iter().all(|axis| axis.len() == ids.len()));
        }
    }
}
