//! One figure from an outputs folder.

use std::path::Path;

use records::Score;

use crate::{Error, Metric, Result, Series, category_figure, find_scores, line_figure, series::groups_of};

/// A figure and what must be said with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The figure.
    pub svg: String,
    /// Caveats and problems, in words.
    pub notes: Vec<String>,
}

/// Draws the figure of a metric over the checkpoints below `outputs`, the base model first.
///
/// # Errors
/// [`Error::Nothing`] if there is no score of this metric and data set; [`Error::Io`].
pub fn plot(outputs: &Path, dataset: &str, base: &str, metric: Metric) -> Result<Figure> {
    let found = find_scores(outputs, metric, Some(dataset), base)?;
    if found.scores.is_empty() {
        let more = found.problems.first().map(|p| format!("; {p}")).unwrap_or_default();
        let message = format!(
            "there is no <checkpoint>/{dataset}/{}.json in it; `roadscribe eval` writes them{more}",
            metric.key()
        );
        return Err(Error::Nothing { path: outputs.to_path_buf(), message });
    }
    let mut notes = found.problems;
    let shown: Vec<&Score> =
        found.scores.iter().filter(|score| score.step.is_some() || score.checkpoint == base).collect();
    for other in found.scores.iter().filter(|score| score.step.is_none() && score.checkpoint != base) {
        notes.push(format!("{} is another base model, it is not shown", other.checkpoint));
    }
    if !shown.iter().any(|score| score.step.is_none()) {
        notes.push(format!("there is no score of the base model {base}"));
    }
    notes.extend(signature_note(&shown));
    for caveat in shown.iter().flat_map(|score| &score.caveats) {
        if !notes.contains(caveat) {
            notes.push(caveat.clone());
        }
    }
    Ok(Figure { svg: figure_of(metric, &shown), notes })
}

/// The figure of scores in order.
pub(crate) fn figure_of(metric: Metric, scores: &[&Score]) -> String {
    let overall = Series::overall(metric, metric.title_of(scores), scores);
    match metric {
        Metric::VqaAccuracy => category_figure(&overall, &category_series(scores)),
        Metric::Bleu | Metric::Lingoqa => line_figure(&overall),
    }
}

/// One series a category.
pub(crate) fn category_series(scores: &[&Score]) -> Vec<Series> {
    groups_of(scores).iter().map(|name| Series::group(Metric::VqaAccuracy, name, scores)).collect()
}

/// Whether scores were made in different ways.
pub(crate) fn signature_note(scores: &[&Score]) -> Option<String> {
    let first = scores.first()?;
    let other = scores.iter().find(|score| score.signature != first.signature)?;
    Some(format!(
        "{} and {} were scored in different ways and must not be compared: `{}` and `{}`",
        first.checkpoint, other.checkpoint, first.signature, other.signature
    ))
}
