//! The roadscribe binary: one file per verb.

fn main() {}
