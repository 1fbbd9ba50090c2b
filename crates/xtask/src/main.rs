//! Developer tools: tidy, golden, golden-processor.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to its caller")]

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

mod golden;
mod golden_processor;
mod tidy;
mod tokenizer;

/// Result of a tool: the text of any error is enough here.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tools of Roadscribe")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the source tree against the rules of the house.
    Tidy,
    /// Check every model folder under DIR against the reference's numbers.
    Golden {
        /// A folder of model folders, or one model folder.
        dir: PathBuf,
    },
    /// Check frames, sizes, grids, token ids and patches against the reference's numbers.
    GoldenProcessor(golden_processor::Args),
    /// Learn the merges of the built-in tokenizer from our own text about driving.
    Tokenizer(tokenizer::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Tidy => tidy::run(&tidy::repository_root()),
        Command::Golden { dir } => golden::run(&dir),
        Command::GoldenProcessor(args) => golden_processor::run(&args),
        Command::Tokenizer(args) => tokenizer::run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
