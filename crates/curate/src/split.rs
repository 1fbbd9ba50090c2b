//! Drives, and their split into training and validation: a drive is never in both.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use records::ContentHash;
use regex::Regex;

use crate::config::{Fault, Split};

/// Default number of characters of an id that name the drive.
const DRIVE_CHARACTERS: usize = 8;

/// How a clip's id names its drive.
#[derive(Debug)]
pub(crate) enum DriveName {
    Characters(usize),
    Pattern(Regex),
}

impl DriveName {
    /// From the configuration.
    pub fn of(split: &Split) -> Result<Self, Fault> {
        let Some(pattern) = &split.drive_pattern else {
            return match split.drive_characters.unwrap_or(DRIVE_CHARACTERS) {
                0 => Err(Fault::new("drive_characters", "must be at least 1")),
                count => Ok(Self::Characters(count)),
            };
        };
        let regex = Regex::new(pattern).map_err(|e| Fault::new("drive_pattern", e.to_string()))?;
        match regex.captures_len() {
            2 => Ok(Self::Pattern(regex)),
            groups => {
                let message = format!("has {} groups; put the part that names the drive into one (...)", groups - 1);
                Err(Fault::new("drive_pattern", message))
            }
        }
    }

    /// The drive of a clip; an id that does not match is a drive of its own.
    pub fn drive(&self, id: &str) -> String {
        match self {
            Self::Characters(count) => id.chars().take(*count).collect(),
            Self::Pattern(regex) => {
                let found = regex.captures(id).and_then(|found| found.get(1));
                found.map_or(id, |group| group.as_str()).to_owned()
            }
        }
    }
}

/// A clip, as the split sees it.
pub(crate) struct Clip<'c> {
    pub source: usize,
    pub drive: &'c str,
    /// Hash of the video, if it was read: one video under two names is one drive.
    pub media: Option<&'c ContentHash>,
}

/// The drives that go to validation: those whose keyed hash is below the share. A source of several drives always keeps
/// one in training and, where the share is not 0, has one in validation.
pub(crate) fn validation_drives(clips: &[Clip<'_>], seed: u64, share: f64) -> BTreeSet<String> {
    let joined = joined_drives(clips);
    let group = |drive: &str| joined.get(drive).cloned().unwrap_or_else(|| drive.to_owned());
    let mut of_source: BTreeMap<usize, BTreeMap<u64, String>> = BTreeMap::new();
    for clip in clips {
        let drive = group(clip.drive);
        of_source.entry(clip.source).or_default().insert(keyed(seed, &drive), drive);
    }
    let limit = share * u64::MAX as f64;
    let below = |key: u64| share > 0.0 && (key as f64) < limit;
    let all = of_source.values().flatten();
    let mut chosen: BTreeSet<String> = all.filter(|(key, _)| below(**key)).map(|(_, drive)| drive.clone()).collect();
    for drives in of_source.values().filter(|drives| share > 0.0 && drives.len() > 1) {
        if !drives.values().any(|drive| chosen.contains(drive)) {
            chosen.extend(drives.values().next().cloned());
        }
    }
    for drives in of_source.values() {
        let none_left = drives.values().all(|drive| chosen.contains(drive));
        if let Some(last) = drives.values().next_back().filter(|_| none_left) {
            chosen.remove(last);
        }
    }
    clips.iter().map(|clip| clip.drive).filter(|drive| chosen.contains(&group(drive))).map(str::to_owned).collect()
}

/// 64 bits of the hash of seed and drive.
pub(crate) fn keyed(seed: u64, name: &str) -> u64 {
    let hash = ContentHash::of_text(&format!("{seed}\u{0}{name}"));
    u64::from_str_radix(hash.as_str().get(..16).unwrap_or("0"), 16).unwrap_or(0)
}

/// For every drive that shares a video with another, the first of its group.
fn joined_drives(clips: &[Clip<'_>]) -> HashMap<String, String> {
    let mut parent: HashMap<&str, &str> = HashMap::new();
    fn root<'c>(parent: &HashMap<&'c str, &'c str>, mut drive: &'c str) -> &'c str {
        while let Some(&next) = parent.get(drive).filter(|next| **next != drive) {
            drive = next;
        }
        drive
    }
    let mut first: HashMap<&ContentHash, &str> = HashMap::new();
    for clip in clips {
        let Some(media) = clip.media else { continue };
        let other = *first.entry(media).or_insert(clip.drive);
        let (a, b) = (root(&parent, clip.drive), root(&parent, other));
        parent.insert(a.max(b), a.min(b));
    }
    let drives: BTreeSet<&str> = parent.keys().copied().collect();
    drives.into_iter().map(|drive| (drive.to_owned(), root(&parent, drive).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_drives() {
        let check = |split: Split, id: &str, expect: &str| assert_eq!(DriveName::of(&split).unwrap().drive(id), expect);
        check(Split::default(), "0123456789", "01234567");
        check(Split::default(), "é", "é");
        let pattern = |text: &str| Split { drive_pattern: Some(text.into()), ..Split::default() };
        check(pattern("^(.*)_\\d+$"), "drive_7_12", "drive_7");
        check(pattern("^(.*)_\\d+$"), "other", "other");
    }

    fn clips<'c>(drives: &'c [(usize, String)]) -> Vec<Clip<'c>> {
        drives.iter().map(|(source, drive)| Clip { source: *source, drive, media: None }).collect()
    }

    #[test]
    fn one_video_is_on_one_side() {
        let media = ContentHash::of_text("v");
        let names: Vec<String> = (0..40).map(|i| format!("drive {i}")).collect();
        for seed in 0..20 {
            let clips: Vec<Clip<'_>> = (0..40)
                .map(|i| Clip { source: 0, drive: &names[i], media: [3, 17, 29].contains(&i).then_some(&media) })
                .collect();
            let chosen = validation_drives(&clips, seed, 0.5);
            let sides: BTreeSet<bool> = [3, 17, 29].iter().map(|&i| chosen.contains(&names[i])).collect();
            assert_eq!(sides.len(), 1, "seed {seed}");
        }
    }

    proptest! {
        #[test]
        fn every_source_keeps_training_drives(
            drives in proptest::collection::vec((0usize..3, "[a-f]{2}"), 1..60), seed in 0u64..50, share in 0.0f64..0.5
        ) {
            let chosen = validation_drives(&clips(&drives), seed, share);
            let again = validation_drives(&clips(&drives), seed, share);
            prop_assert_eq!(&chosen, &again);
            for source in 0..3 {
                let of: BTreeSet<&String> = drives.iter().filter(|(s, _)| *s == source).map(|(_, d)| d).collect();
                prop_assert!(of.is_empty() || of.iter().any(|drive| !chosen.contains(*drive)));
            }
            prop_assert!(share > 0.0 || chosen.is_empty());
        }

        #[test]
        fn a_drive_stays_where_it_is_when_data_grow(seed in 0u64..20) {
            let all: Vec<(usize, String)> = (0..400).map(|i| (0, format!("d{i}"))).collect();
            let (few, many) = (validation_drives(&clips(&all[..200]), seed, 0.2), validation_drives(&clips(&all), seed, 0.2));
            prop_assert!(few.is_subset(&many));
        }
    }
}
