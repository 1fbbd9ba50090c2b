//! A synthetic driving world: scenes drawn from a seed, seen by a camera in a car, with captions, labels and answers
//! that are true.
//!
//! It stands in for a fleet's clips where there are none: in the demo and in tests. A [`Scene`] holds the whole truth of
//! a clip, and picture, text and [`answer`] are made from nothing else.

#![forbid(unsafe_code)]

mod answer;
mod dice;
mod draw;
mod motion;
mod scene;

pub use answer::answer;
pub use scene::*;
