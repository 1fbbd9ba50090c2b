//! The `roadscribe` binary: one file per verb. The only place that reads arguments and environment, and prints.

#![allow(clippy::print_stderr, reason = "the binary talks to its user")]

use clap::{Parser, Subcommand};
use std::{
    error::Error,
    io::Write,
    process::ExitCode,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Prints a line to standard output. A reader that has gone away (`| head`) ends the program, quietly.
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::say_line(&format!($($arg)*))
    };
}

mod bench;
mod benchmark;
mod clip_args;
mod curate;
mod demo;
mod doctor;
mod eval;
mod gpu;
mod infer;
mod init;
mod plot;
mod probe;
mod report;
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
    /// Draw, answer, freeze and look at a multiple-choice benchmark about clips
    Benchmark(benchmark::Args),
    /// Make a training set of annotations: check, filter, deduplicate, split, convert
    Curate(curate::Args),
    /// Fine-tune a model on clips and what is said about them; resumes where it stopped
    Train(train::Args),
    /// Caption clips or answer questions about them; resumes where it stopped
    Infer(infer::Args),
    /// Score predictions: BLEU, multiple choice, LingoQA, with intervals and paired comparisons
    Eval(eval::Args),
    /// Draw a metric over the checkpoints, as SVG and PNG
    Plot(plot::Args),
    /// Write the page of a run: all stages, figures, the checkpoint to take
    Report(report::Args),
    /// The whole recipe on a synthetic driving world, on this machine, with one page at the end
    Demo(demo::Args),
    /// Measure: one JSON line a measurement
    Bench(bench::Args),
    /// Say what this machine can run, and what is missing
    Doctor(doctor::Args),
}

/// What every verb returns.
type Outcome = Result<ExitCode, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = dispatch(Cli::parse().command);
    outcome.unwrap_or_else(|error| {
        let mut told = error.to_string();
        eprintln!("error: {told}");
        let mut cause = error.source();
        while let Some(error) = cause {
            // A message that already tells its cause is not followed by it.
            if !told.contains(&error.to_string()) {
                told = error.to_string();
                eprintln!("  because: {told}");
            }
            cause = error.source();
        }
        ExitCode::FAILURE
    })
}

/// Runs a verb.
fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Probe(args) => probe::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Benchmark(args) => benchmark::run(&args),
        Command::Curate(args) => curate::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Infer(args) => infer::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}

/// A flag that the first SIGINT, SIGTERM or SIGHUP sets, so that a run ends after what it is doing; the second ends it at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Box<dyn Error>> {
    // The demo runs several verbs in one process; a handler can be set once.
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(Arc::clone(stop));
    }
    let stop = Arc::clone(STOP.get_or_init(|| Arc::new(AtomicBool::new(false))));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after the current step; once more to stop at once");
    })?;
    Ok(stop)
}

/// What [`say!`] calls.
fn say_line(line: &str) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{line}") {
        let gone = error.kind() == std::io::ErrorKind::BrokenPipe;
        std::process::exit(if gone { 0 } else { 1 });
    }
}
