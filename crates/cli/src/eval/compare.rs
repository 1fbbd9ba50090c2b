//! `roadscribe eval compare`.

use crate::Outcome;
use records::Score;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Flags of `roadscribe eval compare`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Score of the baseline
    #[arg(long, value_name = "SCORE.json")]
    baseline: PathBuf,
    /// Scores to compare with it
    #[arg(value_name = "SCORE.json", required = true)]
    candidates: Vec<PathBuf>,
    /// Print the whole comparison as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Outcome {
    let baseline = read(&args.baseline)?;
    let candidates = args.candidates.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let comparison = ::eval::compare(&baseline, &candidates);
    if args.json {
        say!("{}", serde_json::to_string(&comparison)?);
        return Ok(ExitCode::SUCCESS);
    }
    for candidate in &comparison.candidates {
        say!("{}", candidate.sentence);
        for group in &candidate.groups {
            let interval =
                group.paired.estimate.ci95.map_or(String::new(), |[low, high]| format!(" [{low:+.4}, {high:+.4}]"));
            let mark = if group.significant { " *" } else { "" };
            say!("  {:<28} {:+.4}{interval} p {:.4}{mark}", group.name, group.paired.estimate.mean, group.p_holm);
        }
    }
    for refused in &comparison.refused {
        eprintln!("{} is not compared: {}", refused.checkpoint, refused.reason);
    }
    for caveat in &comparison.caveats {
        say!("note: {caveat}");
    }
    Ok(if comparison.candidates.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(path: &Path) -> Result<Score, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?)
}
