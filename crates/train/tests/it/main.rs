//! Whole runs of a tiny model: resume, micro-batching, bad clips, refusals.

mod place;
mod resume;
mod runs;
