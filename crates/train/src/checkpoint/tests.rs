//! Saves that fail at every operation, and checkpoints damaged in every file.

use std::io;
use std::path::Path;

use models::Vlm;
use records::ContentHash;
use tensor::{DType, Device};

use super::*;
use crate::logs::LogLengths;
use crate::optimizer::Moments;

/// The smallest model with every kind of layer.
fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models/qwen3_vl")
}

struct Fixture {
    dir: tempfile::TempDir,
    vlm: Vlm,
    moments: Moments,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vlm = Vlm::open(&golden_dir(), &Device::Cpu).unwrap();
        let mut moments = Moments::zeros(&vlm.params);
        for (index, tensor) in moments.first.iter_mut().chain(&mut moments.second).enumerate() {
            let values: Vec<f32> = (0..tensor.len()).map(|i| (i + index) as f32 * 0.37).collect();
            tensor.copy_from_slice(&values).unwrap();
        }
        Self { dir, vlm, moments }
    }

    fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(&self.dir.path().join("out"))
    }

    fn state(step: u64) -> RunState {
        RunState {
            step,
            updates: step,
            steps_total: 100,
            logs: LogLengths::default(),
            drawn: Vec::new(),
            plan_hash: ContentHash::of_text("plan"),
            recipe: serde_json::json!({"lr": 2e-7}),
        }
    }

    fn save(&self, step: u64, gate: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<PathBuf> {
        let state = Self::state(step);
        let base = golden_dir();
        let (vlm, moments) = (&self.vlm, &self.moments);
        let snapshot = Snapshot { vlm, moments, state: &state, export_dtype: DType::Bf16, base: &base };
        self.checkpoints().save_through(snapshot, gate)
    }
}

fn bits(tensors: &[tensor::Tensor]) -> Vec<u32> {
    tensors.iter().flat_map(|t| t.to_vec()).map(f32::to_bits).collect()
}

fn fine(_: &str) -> io::Result<()> {
    Ok(())
}

#[test]
fn what_is_saved_comes_back_bit_for_bit() {
    let fixture = Fixture::new();
    let dir = fixture.save(7, &mut fine).unwrap();
    let mut vlm = Vlm::open(&dir, &Device::Cpu).unwrap(); // rounded to bf16
    assert_ne!(bits(vlm.params.tensors()), bits(fixture.vlm.params.tensors()));
    let (moments, state) = restore(&dir, &mut vlm).unwrap();
    assert_eq!(state, Fixture::state(7));
    assert_eq!(bits(vlm.params.tensors()), bits(fixture.vlm.params.tensors()));
    assert_eq!(bits(&moments.first), bits(&fixture.moments.first));
    assert_eq!(bits(&moments.second), bits(&fixture.moments.second));
}

#[test]
fn a_save_cut_short_anywhere_leaves_the_one_before() {
    let fixture = Fixture::new();
    let checkpoints = fixture.checkpoints();
    let good = fixture.save(1, &mut fine).unwrap();
    let mut crash_points = 0;
    loop {
        let mut operations = 0;
        let saved = fixture.save(2, &mut |_| {
            operations += 1;
            if operations > crash_points { Err(io::Error::other("pulled the plug")) } else { Ok(()) }
        });
        let (newest, damaged) = checkpoints.newest_verified().unwrap();
        if saved.is_ok() {
            assert_eq!(newest, Some(checkpoints.path(2)));
            break;
        }
        // After the rename the new checkpoint may count; it is whole.
        assert!(newest == Some(good.clone()) || newest == Some(checkpoints.path(2)), "{newest:?}");
        assert_eq!(damaged, []);
        if crash_points % 2 == 0 {
            checkpoints.remove_leftovers().unwrap();
        }
        crash_points += 1;
    }
    assert!(crash_points >= 8, "only {crash_points} operations were seen");
    checkpoints.remove_leftovers().unwrap();
    let names: Vec<_> = checkpoints.entries().unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn damage_to_any_file_is_seen() {
    let fixture = Fixture::new();
    let checkpoints = fixture.checkpoints();
    let old = fixture.save(1, &mut fine).unwrap();
    let new = fixture.save(2, &mut fine).unwrap();
    let manifest = RunManifest::read(&new).unwrap();
    assert!(manifest.files.len() >= 6, "{:?}", manifest.files);
    let check = |path: &Path, damage: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>| {
        let content = std::fs::read(path).unwrap();
        match damage(content.clone()) {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let (newest, damaged) = checkpoints.newest_verified().unwrap();
        assert_eq!(newest.as_ref(), Some(&old), "{}", path.display());
        assert_eq!(damaged.len(), 1);
        std::fs::write(path, content).unwrap();
    };
    let files = manifest.files.iter().map(|file| file.path.as_str());
    for file in files.chain([RunManifest::FILE_NAME]) {
        let path = new.join(file);
        check(&path, &|_| None);
        check(&path, &|bytes| Some(bytes[..bytes.len() / 2].to_vec()));
        check(&path, &|bytes| Some(vec![0; bytes.len()]));
    }
    assert_eq!(checkpoints.newest_verified().unwrap(), (Some(new), vec![]));
}

#[test]
fn retention_and_replacement() {
    let fixture = Fixture::new();
    let checkpoints = fixture.checkpoints();
    for step in [9, 10, 100_000_000] {
        fixture.save(step, &mut fine).unwrap();
    }
    assert_eq!(checkpoints.prune(2, None).unwrap(), Vec::<PathBuf>::new());
    let steps = |checkpoints: &Checkpoints| -> Vec<u64> {
        checkpoints.list().unwrap().into_iter().map(|(step, _)| step).collect()
    };
    assert_eq!(steps(&checkpoints), [10, 100_000_000]);
    std::fs::write(checkpoints.path(10).join("config.json"), "damaged").unwrap();
    fixture.save(10, &mut fine).unwrap();
    verify(&checkpoints.path(10)).unwrap();
    std::fs::create_dir(fixture.dir.path().join("out/step_x")).unwrap();
    assert_eq!(steps(&checkpoints), [10, 100_000_000]);
    assert_eq!(Checkpoints::new(Path::new("/no/such/folder")).newest_verified().unwrap(), (None, vec![]));
}

#[test]
fn the_best_and_those_in_use_stay() {
    let fixture = Fixture::new();
    let checkpoints = fixture.checkpoints();
    for step in 1..=5 {
        fixture.save(step, &mut fine).unwrap();
    }
    let steps = || checkpoints.list().unwrap().into_iter().map(|(step, _)| step).collect::<Vec<_>>();
    let reader = records::InUse::reading(&checkpoints.path(3));
    assert_eq!(checkpoints.prune(1, Some(2)).unwrap(), [checkpoints.path(3)], "it is told what could not go");
    assert_eq!(steps(), [2, 3, 5], "the newest, the best, the one being evaluated");
    verify(&checkpoints.path(3)).unwrap();
    drop(reader);
    checkpoints.prune(1, Some(2)).unwrap();
    assert_eq!(steps(), [2, 5]);
    checkpoints.prune(1, None).unwrap();
    assert_eq!(steps(), [5]);
}
