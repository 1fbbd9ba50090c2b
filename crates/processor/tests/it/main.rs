//! Tests of the processor through its public interface.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

mod conversations;
mod folders;
mod reference;
mod tokenizers;

use std::path::PathBuf;
use std::sync::OnceLock;

use processor::{Family, Processor, SpecialIds, Tokenizer, VisionConfig, builtin_tokenizer_json};

/// A processor with the built-in tokenizer and the family's published vision values, made once.
fn builtin(family: Family) -> &'static Processor {
    static QWEN3_VL: OnceLock<Processor> = OnceLock::new();
    static QWEN2_5_VL: OnceLock<Processor> = OnceLock::new();
    let cell = match family {
        Family::Qwen3Vl => &QWEN3_VL,
        Family::Qwen2_5Vl => &QWEN2_5_VL,
    };
    cell.get_or_init(|| {
        let tokenizer = Tokenizer::from_bytes(&builtin_tokenizer_json(SpecialIds::Compact)).unwrap();
        Processor::new(family, VisionConfig::of_family(family), tokenizer).unwrap()
    })
}

/// A path in the team's folder of golden values and real tokenizers, which a stranger does not have: then a note, and `None`.
fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("not checked: {} is not here", path.display());
    None
}
