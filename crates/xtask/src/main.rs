//! Developer tools: `cargo xtask tidy`, `golden`, `golden-processor`.

mod golden;
mod tidy;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Result of a tool: the text of any error is enough here.
type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tools of Roadscribe")]
struct Args {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Checks the source tree against the rules of the house.
    Tidy,
    /// Checks every model folder under DIR against the reference's numbers; one JSON line each.
    Golden {
        /// A folder laid out as golden/models: one folder a model, with weights and cases.
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().tool {
        Tool::Tidy => tidy::run(&tidy::repository_root()),
        Tool::Golden { dir } => golden::run(&dir),
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
