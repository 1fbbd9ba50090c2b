//! Integration tests against what the reference implementation computed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod judge;
