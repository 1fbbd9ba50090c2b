//! A synthetic driving world: scenes drawn from a seed, seen by a camera in a car, with captions, labels and answers
//! that are true.
//!
//! It stands in for a fleet's clips where there are none: in the demo and in tests. A [`Scene`] holds the whole truth of
//! a clip, and picture, text and [`answer`] are made from nothing else.

#![forbid(unsafe_code)]

mod answer;
mod backdrop;
mod canvas;
mod caption;
mod cast;
mod dice;
mod draw;
mod figures;
mod flaw;
mod furniture;
mod general;
mod ground;
mod labels;
mod lettering;
mod motion;
mod open_qa;
mod outline;
mod render;
mod scene;
mod solids;
mod source;
mod traffic;
mod words;

pub use answer::answer;
pub use caption::{caption, general_caption};
pub use flaw::Flaw;
pub use general::{Fact, general_facts};
pub use labels::{cv_annotation, human_annotation, reasoning_annotation};
pub use open_qa::{OpenQuestion, open_questions};
pub use render::{render, write_clip};

pub use scene::*;
pub use source::{ClipForm, Error, SourceKind, WrittenClip, write_source};
