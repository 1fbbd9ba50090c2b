//! Whole runs of inference with a tiny model: what is kept, what is asked again, what threads and sharing change (nothing);
//! and the judge against what the reference implementation computed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod judge;
mod runs;
