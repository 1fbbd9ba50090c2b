//! Why an annotation is not kept: one closed list of reasons, and the record that is written for each.

use serde::{Deserialize, Serialize};

/// Declares [`Reason`] with its code, whether it counts against the reject budget, and what it means.
macro_rules! reasons {
    ($($name:ident $code:literal $counts:literal $meaning:literal;)*) => {
        /// Why an annotation was not kept. Codes do not change between versions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $meaning] #[serde(rename = $code)] $name,)*
        }

        impl Reason {
            /// All reasons, in the order in which an annotation meets them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Stable name in `rejects.jsonl` and in the card.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// Whether it is a defect of the source, and so counts against the reject budget; the others are choices of
            /// the configuration (duration, rule violations) or what deduplication and the leakage check are for.
            pub fn counts_against_budget(self) -> bool {
                match self { $(Self::$name => $counts),* }
            }

            /// What it means, in a few words.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }
        }
    };
}

reasons! {
    UnreadableFile "unreadable_file" true "the file cannot be read, or is not UTF-8";
    BrokenJson "broken_json" true "not JSON";
    MissingField "missing_field" true "a field that must be there is absent or null";
    WrongType "wrong_type" true "a field has another type than the format says";
    UnknownValue "unknown_value" true "a value is not on the closed list of its field";
    OutOfRange "out_of_range" true "a number is outside its range";
    NanBox "nan_box" true "a coordinate or time of a box is NaN or infinite";
    InvertedBox "inverted_box" true "a box has no area: right is not right of left, or bottom not below top";
    BoxOutside "box_outside" true "a box lies outside the annotated frame";
    NoticeKey "notice_key" true "the key of a notice is not `Between time A s and B s`";
    NoticeOutsideClip "notice_outside_clip" true "a notice, box or event lies outside the clip";
    EmptyText "empty_text" true "the text to learn from is empty or has too few words";
    BoilerplateText "boilerplate_text" true "the text to learn from is a placeholder, a refusal, or one phrase repeated";
    Contradiction "contradiction" true "fields of the label deny each other";
    DuplicateId "duplicate_id" true "another annotation of the source has the same id";
    RuleViolation "rule_violation" false "the ego vehicle breaks a rule, and the configuration drops such clips";
    LeakId "leak_id" false "the evaluation set has a clip of this id";
    LeakDrive "leak_drive" false "the evaluation set has a clip of this drive";
    MissingVideo "missing_video" true "there is no video for the annotation";
    BadVideo "bad_video" true "the video cannot be decoded";
    DurationShort "duration_short" false "the clip is shorter than the configuration allows";
    DurationLong "duration_long" false "the clip is longer than the configuration allows";
    LeakMedia "leak_media" false "the evaluation set has the same video, byte for byte";
    LeakFrames "leak_frames" false "the evaluation set has a video of nearly the same frames";
    LeakCaption "leak_caption" false "a reference of the evaluation set is nearly contained in the text";
    DuplicateMedia "duplicate_media" false "another annotation of the source has the same video, byte for byte";
    NearDuplicateFrames "near_duplicate_frames" false "another annotation of the source has nearly the same frames";
    NearEqualCaption "near_equal_caption" false "another annotation of the source has nearly the same text";
}

/// A line of `rejects.jsonl`: an annotation that was read and not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reject {
    /// Name of the source.
    pub source: String,
    /// File, relative to the path of the source.
    pub file: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Name of the clip, if it is known.
    pub id: Option<String>,
    /// Why.
    pub code: Reason,
    /// What exactly is wrong; begins with the place in the label, as a JSON pointer, where there is one.
    pub message: String,
    /// Whether it counts against the reject budget.
    pub counts_against_budget: bool,
}

/// What is wrong with an annotation, before it is known where the annotation stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub reason: Reason,
    /// Place in the label, as a JSON pointer; empty for the whole.
    pub pointer: String,
    pub message: String,
}

impl Problem {
    /// A problem of the annotation as a whole.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, pointer: String::new(), message: message.into() }
    }

    /// A problem of one place of the label.
    pub fn at(reason: Reason, pointer: &str, message: impl Into<String>) -> Self {
        Self { reason, pointer: pointer.to_owned(), message: message.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => write!(f, "{pointer}: {}", self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_are_what_serde_writes() {
        let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
