//! Developer tools: tidy, golden, golden-processor.

mod golden;
mod golden_processor;
mod tokenizer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Developer tools of Roadscribe.
#[derive(Parser)]
enum Task {
    /// Check every model folder under DIR against the reference's numbers; one JSON line each.
    Golden {
        /// A folder laid out as golden/models, or one model folder.
        dir: PathBuf,
    },
    /// Check frame choice, sizes, grids, token ids and patches against the reference's; one JSON line a case.
    GoldenProcessor(golden_processor::Args),
    /// Learn the merges of the built-in tokenizer.
    Tokenizer {
        /// Where to write them.
        #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../processor/data/merges.txt"))]
        out: PathBuf,
    },
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Golden { dir } => golden::run(&dir),
        Task::GoldenProcessor(args) => golden_processor::run(&args),
        Task::Tokenizer { out } => tokenizer::run(&out).map(|merges| merges > 0),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
