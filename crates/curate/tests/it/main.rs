//! Whole runs over small sources made here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod fixture;
mod leakage;
mod rejects;
mod sets;
