//! Developer tools: tidy, golden, golden-processor.

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

mod golden;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tools of Roadscribe")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check every model folder under DIR against the reference's numbers.
    Golden {
        /// A folder of model folders, or one model folder.
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Golden { dir } => golden::run(&dir),
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
