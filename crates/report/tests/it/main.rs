//! Figures and pages from run folders, whole and broken.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by failing")]

mod fixture;

use std::fs;
use std::path::Path;

use fixture::{BASE, write_run};
use report::{Metric, PageOptions, Written, plot, png_of_svg, write_report};

fn report(dir: &Path) -> (Written, String) {
    let mut strip = |video: &Path| {
        assert!(video.ends_with(Path::new("benchmark/videos").join(video.file_name().unwrap())), "{video:?}");
        png_of_svg(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="64" height="9"><rect width="64" height="9"/></svg>"#,
        )
        .ok()
    };
    let mut options = PageOptions { base_model: None, strip: &mut strip };
    let written = write_report(dir, &mut options).unwrap();
    let html = fs::read_to_string(&written.page).unwrap();
    (written, html)
}

#[test]
fn figures_of_all_metrics() {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path());
    for (metric, dataset, expect) in [
        (Metric::Bleu, "AV_CAPTION", "best 0."),
        (Metric::VqaAccuracy, "AV_VQA", "Spatial &amp; Temporal"),
        // A stand-in's number never has the name of the judge's.
        (Metric::Lingoqa, "LINGOQA", "LingoQA format, stand-in judge"),
    ] {
        let figure = plot(&dir.path().join("outputs"), dataset, BASE, metric).unwrap();
        assert!(figure.svg.contains(expect), "{metric:?} lacks {expect:?}");
        assert!(figure.svg.contains("stroke-dasharray=\"6 4\"") && figure.svg.contains("<polygon"), "{metric:?}");
        assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf"), "{metric:?}");
        let png = png_of_svg(&figure.svg).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5000, "{metric:?}: {} bytes", png.len());
        assert_eq!(png, png_of_svg(&figure.svg).unwrap());
    }
    let nothing = plot(&dir.path().join("outputs"), "OTHER", BASE, Metric::Bleu).unwrap_err().to_string();
    assert!(nothing.contains("OTHER/bleu.json"), "{nothing}");
    let other = plot(&dir.path().join("outputs"), "LINGOQA", "another", Metric::Lingoqa).unwrap();
    assert!(other.notes.iter().any(|n| n.contains("no score of the base model another")), "{:?}", other.notes);
}

#[test]
fn a_whole_run_is_a_whole_page() {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path());
    let (written, html) = report(dir.path());
    assert!(!html.contains("LingoQA score"), "a stand-in's number has the judge's name");
    assert_eq!(written.missing, [] as [&str; 0], "nothing is missing");
    assert_eq!(written.recommended.as_deref(), Some("step_000060"));
    for part in [
        "AV_VQA",
        "cannot_be_determined 7",
        "LingoQA format, stand-in judge",
        "55 passes",
        "notice_outside_clip",
        "Validation loss",
        "What to curate next: Spatial &amp; Temporal",
        "best of 4 checkpoints",
        "not Lingo-Judge",
        "Multiple-choice accuracy: ",
        "no caption",
        "data:image/png;base64,",
    ] {
        assert!(html.contains(part), "the page lacks {part:?}");
    }
    for name in ["bleu", "vqa_accuracy", "lingoqa"] {
        assert!(dir.path().join(format!("report/{name}.png")).is_file());
        assert!(dir.path().join(format!("report/{name}.svg")).is_file());
    }
    assert_eq!(report(dir.path()).1, html, "the same run is the same page");
}

#[test]
fn captions_are_text_and_nothing_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path());
    let (_, html) = report(dir.path());
    assert!(html.contains("&lt;script&gt;alert("), "captions are shown");
    assert!(!html.contains("<script"), "and never run");
    for load in ["src=\"http", "href=\"http", "@import", "url("] {
        assert!(!html.contains(load), "the page has {load}");
    }
}

#[test]
fn whatever_is_missing_is_said() {
    let check = |remove: &[&str], expect: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        write_run(dir.path());
        for path in remove {
            let path = dir.path().join(path);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        let (written, html) = report(dir.path());
        for part in expect {
            assert!(html.contains(part), "without {remove:?} the page lacks {part:?}; missing: {:?}", written.missing);
        }
    };
    check(&["train"], &["The run has no training log"]);
    check(&["curated"], &["The run has no curated set"]);
    check(&["benchmark"], &["The run has no frozen benchmark", "Recommended checkpoint"]);
    check(&["outputs"], &["The run has no scores", "No checkpoint is recommended"]);
    check(
        &[&format!("outputs/{BASE}")],
        &["No score of a model without a training step", "nothing is said about improvement"],
    );
    check(&["outputs/step_000060/AV_VQA/vqa_accuracy.json"], &["Recommended over all: step_0000"]);
}

#[test]
fn broken_files_are_said_too() {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path());
    let at = |path: &str| dir.path().join(path);
    fs::write(at("outputs/step_000020/AV_VQA/vqa_accuracy.json"), "{\"metric\": 1").unwrap();
    fs::write(at("benchmark/benchmark.json"), "[]").unwrap();
    let mut log = fs::read_to_string(at("train/metrics.jsonl")).unwrap();
    log.push_str("{\"step\": 81, \"train/lo");
    fs::write(at("train/metrics.jsonl"), log).unwrap();
    let (written, html) = report(dir.path());
    assert!(written.missing.iter().any(|m| m.contains("step_000020")), "{:?}", written.missing);
    assert!(written.missing.iter().any(|m| m.contains("1 lines of the training log")), "{:?}", written.missing);
    assert!(html.contains("Recommended"));
    fs::create_dir(at("empty")).unwrap();
    let (written, html) = report(&at("empty"));
    assert!(written.missing.len() > 5 && html.contains("No checkpoint is recommended"));
    let mut none = |_: &Path| None;
    let mut options = PageOptions { base_model: None, strip: &mut none };
    assert!(write_report(&at("nowhere"), &mut options).is_err());
}

/// Leaves the page of the fixture in the target folder, for a look with a browser.
#[test]
fn the_fixture_can_be_looked_at() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report_fixture");
    write_run(&dir);
    assert!(report(&dir).1.len() > 10_000);
}
