//! The question pool, the draw for each clip, the frozen benchmark.

#![forbid(unsafe_code)]
