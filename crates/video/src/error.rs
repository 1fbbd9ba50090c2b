//! What can go wrong with a clip, a request or a written file.

use std::path::PathBuf;

/// A failure of this crate; every message says which file, what is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of 0 bytes.
    #[error("{}: the file is empty (0 bytes); copy or record it again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are no container that this build reads.
    #[error("{}: not a video file that can be read: {reason}", path.display())]
    NotAVideo {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The container ends before its own tables say so, or has no tables yet.
    #[error("{}: cut short: {what}; copy the file again, or finish the recording with a tool that repairs it", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing, with byte offsets.
        what: String,
    },
    /// A table of the container contradicts itself.
    #[error("{}: damaged container at byte {offset}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// There are streams, but none with pictures.
    #[error("{}: no video stream (found: {found}); is this a sound recording?", path.display())]
    NoVideoStream {
        /// The file.
        path: PathBuf,
        /// The kinds of streams found.
        found: String,
    },
    /// A video stream with no frame to show.
    #[error("{}: the video stream has no frames", path.display())]
    NoFrames {
        /// The file.
        path: PathBuf,
    },
    /// A codec or pixel format that the chosen back-end cannot decode.
    #[error("{}: the `{backend}` back-end cannot decode {codec}; {hint}", path.display())]
    UnsupportedCodec {
        /// The file.
        path: PathBuf,
        /// Codec and, where it matters, the profile or pixel format.
        codec: String,
        /// The back-end that was asked.
        backend: &'static str,
        /// What would read it.
        hint: &'static str,
    },
    /// A cap of [`Limits`](crate::Limits) is exceeded; checked before any frame is decoded.
    #[error("{}: {what} is {value}, over the limit of {max}; raise the limit if the file is trusted", path.display())]
    LimitExceeded {
        /// The file.
        path: PathBuf,
        /// The quantity.
        what: &'static str,
        /// Its value in this file.
        value: u64,
        /// The cap.
        max: u64,
    },
    /// A frame count that the clip cannot serve.
    #[error("cannot sample {nframes} frames: the number must be even, at least 2 and at most {total_frames}, the frames of the clip or range{}", in_file(path.as_ref()))]
    FrameCount {
        /// The clip, if known.
        path: Option<PathBuf>,
        /// Frames asked for, after rounding.
        nframes: u64,
        /// Frames there are.
        total_frames: u64,
    },
    /// `video_start` and `video_end` leave no two frames, or are no numbers.
    #[error("invalid time range: start frame {start_frame} is not before end frame {end_frame} (clip: {duration_s:.2} s, {total_frames} frames){}", in_file(path.as_ref()))]
    TimeRange {
        /// The clip, if known.
        path: Option<PathBuf>,
        /// First frame of the range.
        start_frame: i64,
        /// Last frame of the range.
        end_frame: i64,
        /// Length of the clip.
        duration_s: f64,
        /// Frames of the clip.
        total_frames: u64,
    },
    /// A request that makes no sense for any clip.
    #[error("invalid request: {0}")]
    InvalidRequest(String),
    /// The decoder gave no picture for a wanted frame, or failed as a whole.
    #[error("{}: the `{backend}` decoder failed: {what}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The back-end.
        backend: &'static str,
        /// Which frame and why.
        what: String,
    },
    /// The back-end is not part of this build.
    #[error(
        "the video back-end `{0}` is not in this build; build with `--features {0}` (needs libav and libclang) or choose `pure`"
    )]
    BackendMissing(&'static str),
    /// A picture that cannot be resized or written.
    #[error("invalid picture: {0}")]
    InvalidPicture(String),
    /// The encoder failed.
    #[error("{}: cannot encode: {what}", path.display())]
    Encode {
        /// The file being written.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

impl Error {
    /// Adds the clip's path to errors about a request, which are made where no file is known.
    #[must_use]
    pub(crate) fn at(self, clip: &std::path::Path) -> Self {
        match self {
            Self::FrameCount { path: None, nframes, total_frames } => {
                Self::FrameCount { path: Some(clip.into()), nframes, total_frames }
            }
            Self::TimeRange { path: None, start_frame, end_frame, duration_s, total_frames } => {
                Self::TimeRange { path: Some(clip.into()), start_frame, end_frame, duration_s, total_frames }
            }
            other => other,
        }
    }
}

/// The tail of a message: which clip, if known.
fn in_file(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" in {}", path.display()))
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
