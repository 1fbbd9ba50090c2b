//! Frame choice and decoding of real clips against the values in `shared/golden/processor`.

use video::{BackendChoice, FrameRequest, FrameSampling, Limits, decode, frame_indices, probe};

/// The numbers after `"key":` in a golden file: all of a list, or the one.
fn numbers(json: &str, key: &str) -> Option<Vec<f64>> {
    let rest = json.split_once(&format!("\"{key}\":"))?.1.trim_start();
    let list = rest.strip_prefix('[').map_or_else(|| rest.split([',', '}']).next(), |list| list.split(']').next())?;
    list.split(',').map(|n| n.trim().parse().ok()).collect()
}

#[test]
fn frame_choice_equals_the_reference() {
    let Some(shared) = crate::shared() else { return };
    let mut cases = 0;
    for entry in std::fs::read_dir(shared.join("golden/processor")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let json = std::fs::read_to_string(&path).unwrap();
        let clip = path.file_stem().unwrap().to_str().unwrap().split_once("__").unwrap().0;
        let info = probe(&shared.join("clips").join(format!("{clip}.mp4")), &Limits::default()).unwrap();
        let sampling = match (numbers(&json, "nframes"), numbers(&json, "fps")) {
            (Some(n), _) => FrameSampling::Count(n[0] as u32),
            (_, Some(fps)) => FrameSampling::Rate { fps: fps[0], min_frames: 4, max_frames: 768 },
            _ => panic!("{}", path.display()),
        };
        let got = frame_indices(info.frames, info.fps, &FrameRequest::whole(sampling));
        match numbers(&json, "frame_indices") {
            Some(expect) => {
                assert_eq!(got.unwrap(), expect.iter().map(|&i| i as u64).collect::<Vec<_>>(), "{}", path.display());
                assert_eq!(info.frames as f64, numbers(&json, "source_frames").unwrap()[0]);
                assert!((info.fps.to_f64() - numbers(&json, "source_fps").unwrap()[0]).abs() < 1e-5);
            }
            None => assert!(got.is_err(), "{}", path.display()),
        }
        cases += 1;
    }
    assert!(cases > 0);
}

#[test]
fn real_clips_decode() {
    let Some(shared) = crate::shared() else { return };
    for entry in std::fs::read_dir(shared.join("clips")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "mp4") {
            continue;
        }
        let clip =
            decode(&path, &FrameRequest::whole(FrameSampling::Count(4)), BackendChoice::Pure, &Limits::default())
                .unwrap();
        assert_eq!((clip.frames.len(), clip.damaged), (4, 0), "{}", path.display());
    }
}
