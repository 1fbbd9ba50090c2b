//! The `roadscribe` binary: one file per verb. The only place that reads arguments and environment, and prints.

use clap::{Parser, Subcommand};
use std::{
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

mod bench;
mod clip_args;
mod doctor;
mod infer;
mod init;
mod probe;
mod train;

/// Driving video in, a captioning model out, and proof of how good it is.
#[derive(Parser)]
#[command(name = "roadscribe", version, about, long_about = None, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look at clips: codec, size, frame rate, key frames, and which frames a model would see
    Probe(probe::Args),
    /// Make a model folder with random weights
    Init(init::Args),
    /// Fine-tune a model on clips and what is said about them; resumes where it stopped
    Train(train::Args),
    /// Caption clips or answer questions about them; resumes where it stopped
    Infer(infer::Args),
    /// Measure: one JSON line a measurement
    Bench(bench::Args),
    /// Say what this machine can run, and what is missing
    Doctor(doctor::Args),
}

/// What every verb returns.
type Outcome = Result<ExitCode, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Probe(args) => probe::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Infer(args) => infer::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            // A transparent wrapper says the same as its source; once is enough.
            eprintln!("  because: {error}");
            cause = error.source();
        }
        ExitCode::FAILURE
    })
}

/// A flag that the first SIGINT, SIGTERM or SIGHUP sets, so that a run ends after what it is doing; the second ends it at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after the current step; once more to stop at once");
    })?;
    Ok(stop)
}
