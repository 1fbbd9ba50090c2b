//! Sources on disk: layout, names, flaws, and that the same seed writes the same bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use records::annotation::{CvAnnotation, HumanAnnotation, ReasoningAnnotation};
use world::{ClipForm, Flaw, SourceKind, write_source};

const FORM: ClipForm = ClipForm { width: 64, height: 48, frames: 4, fps: 1 };

/// All files of a folder with their bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for folder in ["metas", "videos"] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            all.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    all
}

fn write(
    kind: SourceKind,
    clips: usize,
    flaw_rate: f64,
    render: bool,
) -> (Vec<world::WrittenClip>, BTreeMap<String, Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let written = write_source(dir.path(), kind, 7, clips, flaw_rate, FORM, render).unwrap();
    (written, files(dir.path()))
}

#[test]
fn a_source_without_flaws_reads_back_and_is_the_same_each_time() {
    for kind in [SourceKind::Human, SourceKind::Cv, SourceKind::Reasoning] {
        let (written, first) = write(kind, 8, 0.0, true);
        assert_eq!(first, write(kind, 8, 0.0, true).1, "{kind:?}");
        assert_eq!(first.len(), 16);
        for clip in &written {
            assert_eq!(clip.flaw, None);
            let label = &first[&format!("metas/{}.label.json", clip.name)];
            match kind {
                SourceKind::Human => drop(serde_json::from_slice::<HumanAnnotation>(label).unwrap()),
                SourceKind::Cv => {
                    let label = serde_json::from_slice::<CvAnnotation>(label).unwrap();
                    assert!(clip.name.ends_with(&format!("_{}", label.event_start_timestamp)));
                }
                SourceKind::Reasoning => drop(serde_json::from_slice::<ReasoningAnnotation>(label).unwrap()),
            }
            assert!(first.contains_key(&format!("videos/{}.camera_front_wide_120fov.mp4", clip.name)));
        }
    }
}

#[test]
fn clips_share_drives() {
    let (written, _) = write(SourceKind::Human, 200, 0.0, false);
    let mut drives: HashMap<&str, usize> = HashMap::new();
    for clip in &written {
        *drives.entry(&clip.name[..8]).or_default() += 1;
    }
    assert!((30..=67).contains(&drives.len()), "{} drives", drives.len());
    assert!(drives.values().all(|count| *count <= 6));
}

#[test]
fn every_flaw_occurs_and_shows() {
    let mut seen = HashSet::new();
    for kind in [SourceKind::Human, SourceKind::Cv, SourceKind::Reasoning] {
        let (written, files) = write(kind, 400, 0.3, false);
        let flawed = written.iter().filter(|clip| clip.flaw.is_some()).count();
        assert!((90..=150).contains(&flawed), "{flawed} of 400");
        for clip in &written {
            let Some(flaw) = clip.flaw else { continue };
            seen.insert(flaw);
            let ending = if flaw == Flaw::DuplicateId { "json" } else { "label.json" };
            let label = &files[&format!("metas/{}.{ending}", clip.name)];
            let parsed = serde_json::from_slice::<serde_json::Value>(label);
            let text = String::from_utf8_lossy(label);
            match flaw {
                Flaw::BrokenJson => assert!(parsed.is_err()),
                Flaw::NanBox => assert!(parsed.is_err() && text.contains("\"x1\": NaN,"), "{text}"),
                Flaw::SpecialTokens => assert!(text.contains("<|im_end|>")),
                Flaw::DuplicateId => assert!(files.contains_key(&format!("metas/{}.label.json", clip.name))),
                Flaw::DuplicateMedia => {
                    let video = &files[&format!("videos/{}.camera_front_wide_120fov.mp4", clip.name)];
                    assert!(files.values().filter(|bytes| *bytes == video).count() > 1, "{}", clip.name);
                }
                _ => drop(parsed.unwrap()),
            }
        }
    }
    assert_eq!(seen.len(), 15, "{seen:?}");
}
