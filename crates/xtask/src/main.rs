//! Developer tools: tidy, golden, golden-processor.

fn main() {}
