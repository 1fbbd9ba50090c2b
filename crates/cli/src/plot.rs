//! `roadscribe plot`: one figure of the recipe, as SVG and PNG.

use crate::Outcome;
use clap::ValueEnum;
use std::{path::PathBuf, process::ExitCode};

/// Flags of `roadscribe plot`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Name of the data set, such as AV_CAPTION
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// Name of the base model, as its folder of outputs has it
    #[arg(long, value_name = "NAME")]
    base_model: String,
    /// What to show
    #[arg(long, value_enum)]
    metric: Metric,
    /// Folder with <checkpoint>/<data set>/<metric>.json
    #[arg(long, value_name = "DIR")]
    outputs_dir: PathBuf,
    /// Where the figure goes; .svg and .png are written [default: DIR/<data set>_<metric>]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The recipe's metrics.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Metric {
    /// BLEU of captions
    #[value(name = "bleu")]
    Bleu,
    /// Multiple choice, overall and by category
    #[value(name = "vqa_accuracy")]
    VqaAccuracy,
    /// LingoQA
    #[value(name = "lingoqa")]
    Lingoqa,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let metric = match args.metric {
        Metric::Bleu => ::report::Metric::Bleu,
        Metric::VqaAccuracy => ::report::Metric::VqaAccuracy,
        Metric::Lingoqa => ::report::Metric::Lingoqa,
    };
    let figure = ::report::plot(&args.outputs_dir, &args.dataset, &args.base_model, metric)?;
    for note in &figure.notes {
        eprintln!("note: {note}");
    }
    let name = format!("{}_{}", args.dataset, metric.key());
    let out = args.out.clone().unwrap_or_else(|| args.outputs_dir.join(name));
    let svg = out.with_extension("svg");
    let png = out.with_extension("png");
    records::write_atomic(&png, &::report::png_of_svg(&figure.svg)?)?;
    records::write_atomic(&svg, figure.svg.as_bytes())?;
    say!("{}\n{}", svg.display(), png.display());
    Ok(ExitCode::SUCCESS)
}
