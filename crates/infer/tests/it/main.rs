//! Whole runs of inference with a tiny model: what is kept, what is asked again, what threads and sharing change (nothing).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[cfg(test)]
mod runs;
