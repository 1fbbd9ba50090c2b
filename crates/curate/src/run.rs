//! A curation run from the configuration to the finished folder, in the order of its stages.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;

use crate::card::{Card, SourceCount};
use crate::config::Config;
use crate::label::ClipLength;
use crate::leak::Evaluation;
use crate::media::{self, Media};
use crate::near::{CaptionIndex, CaptionPrint, FrameIndex};
use crate::output::Output;
use crate::prompts::Prompts;
use crate::reason::{Problem, Reason, Reject};
use crate::source::{self, Annotation};
use crate::split::{self, DriveName};
use crate::text;
use crate::{Error, Result};

/// Clips looked at between two looks at the progress.
pub(crate) const CLIPS_AT_ONCE: usize = 32;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done: the name of a source, `videos`, `writing`, `preview`.
    pub stage: &'a str,
    /// Done so far.
    pub done: usize,
    /// To do in this stage.
    pub total: usize,
}

/// What the caller brings.
pub struct Hooks<'h> {
    /// Is told the progress; `false` stops the run.
    pub progress: &'h mut dyn FnMut(Progress<'_>) -> bool,
    /// Number of tokens of a text; `None` estimates 1.3 tokens a word.
    pub count_tokens: Option<&'h (dyn Fn(&str) -> usize + Sync)>,
}

/// Progress, and the wish to stop.
pub(crate) struct Steps<'h> {
    progress: &'h mut dyn FnMut(Progress<'_>) -> bool,
}

impl Steps<'_> {
    /// Tells the progress.
    pub fn at(&mut self, stage: &str, done: usize, total: usize) -> Result<()> {
        match (self.progress)(Progress { stage, done, total }) {
            true => Ok(()),
            false => Err(Error::Stopped),
        }
    }
}

/// An annotation on its way into the set.
pub(crate) struct Clip {
    pub annotation: Annotation,
    pub drive: String,
    pub media: Option<Media>,
    pub is_validation: bool,
}

/// Curates the sources into `out`: reads, checks, filters, splits, converts, writes. The folder gets its name when it is
/// complete. The same configuration and files give the same bytes.
///
/// # Errors
/// [`Error`]: a source that cannot be read at all, too many defective annotations (rejects are written then, the set is
/// not), a full disk, a stop. A bad annotation is a reject, not an error.
pub fn run(config: &Config, out: &Path, hooks: &mut Hooks<'_>) -> Result<Card> {
    config.check().map_err(|fault| Error::Config { place: "configuration".into(), message: fault.to_string() })?;
    let prompts = Prompts::read(config.prompts.as_deref())?;
    let drives = DriveName::of(&config.split)
        .map_err(|fault| Error::Config { place: "configuration".into(), message: fault.to_string() })?;
    let output = Output::create(out)?;
    let mut steps = Steps { progress: &mut *hooks.progress };
    let evaluation = Evaluation::read(config, &drives, &mut steps)?;
    let mut sieve = Sieve { config, rejects: Vec::new(), counts: Vec::new() };
    let mut clips = sieve.read(&drives, &mut steps)?;
    clips = sieve.by_label(clips, &evaluation);
    clips = sieve.by_media(clips, &evaluation, &mut steps)?;
    clips = sieve.by_caption(clips, &evaluation);
    sieve.finish(&clips, &output)?;
    split_clips(&mut clips, config);
    let mut card = Card::new(config, &sieve.counts, &sieve.rejects, evaluation.clips());
    output.write_set(config, &prompts, &clips, hooks.count_tokens, &mut card, &mut steps)?;
    output.write_preview(config, &clips, &mut card, &mut steps)?;
    output.publish(&card)?;
    Ok(card)
}

/// Takes clips out, and remembers why.
struct Sieve<'c> {
    config: &'c Config,
    rejects: Vec<Reject>,
    counts: Vec<SourceCount>,
}

impl Sieve<'_> {
    fn read(&mut self, drives: &DriveName, steps: &mut Steps<'_>) -> Result<Vec<Clip>> {
        let mut clips = Vec::new();
        for nth in 0..self.config.source.len() {
            let content = source::read(nth, self.config, steps)?;
            self.counts.push(SourceCount { read: content.read, videos_unlabelled: content.videos_unlabelled });
            self.rejects.extend(content.rejects);
            clips.extend(content.annotations.into_iter().map(|annotation| {
                let drive = drives.drive(&annotation.id);
                Clip { annotation, drive, media: None, is_validation: false }
            }));
        }
        Ok(clips)
    }

    /// Keeps the clips that nothing is wrong with.
    fn sift(&mut self, clips: Vec<Clip>, problems: Vec<Option<Problem>>) -> Vec<Clip> {
        let mut kept = Vec::with_capacity(clips.len());
        for (clip, problem) in clips.into_iter().zip(problems) {
            match problem {
                None => kept.push(clip),
                Some(problem) => self.reject(&clip.annotation, &problem),
            }
        }
        kept
    }

    fn reject(&mut self, annotation: &Annotation, problem: &Problem) {
        let name = self.config.source.get(annotation.source).map_or("", |source| source.name());
        self.rejects.push(source::reject(name, &annotation.place, Some(&annotation.id), problem));
    }

    /// What the label and the id say, without the video.
    fn by_label(&mut self, clips: Vec<Clip>, evaluation: &Evaluation) -> Vec<Clip> {
        let filters = &self.config.filters;
        let mut problems: Vec<Option<Problem>> = clips
            .par_iter()
            .map(|clip| {
                let (annotation, label) = (&clip.annotation, &clip.annotation.label);
                let violation = filters.drop_rule_violations && label.is_rule_violation();
                let wrong = || if filters.drop_contradictions { label.contradiction() } else { None };
                describes_nothing(label.main_text(), filters.words_min, &filters.boilerplate)
                    .or_else(wrong)
                    .or_else(|| label.outside(length_by_name(&annotation.id), filters.notice_slack_s))
                    .or_else(|| violation.then(|| Problem::at(Reason::RuleViolation, "/rule_violation", "\"True\"")))
                    .or_else(|| evaluation.by_name(&annotation.id, &clip.drive, &self.config.eval_set))
            })
            .collect();
        let mut seen: HashMap<(usize, &str), &Annotation> = HashMap::new();
        for (clip, problem) in clips.iter().zip(&mut problems) {
            let annotation = &clip.annotation;
            match seen.entry((annotation.source, annotation.id.as_str())) {
                std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(annotation)),
                std::collections::hash_map::Entry::Occupied(first) => {
                    let place = &first.get().place;
                    let message = format!("the id stands at {}:{} already", place.file, place.line);
                    *problem = Some(Problem::new(Reason::DuplicateId, message));
                }
            }
        }
        self.sift(clips, problems)
    }

    /// What the video says.
    fn by_media(&mut self, mut clips: Vec<Clip>, evaluation: &Evaluation, steps: &mut Steps<'_>) -> Result<Vec<Clip>> {
        if !self.config.decode {
            return Ok(clips);
        }
        let (filters, total) = (&self.config.filters, clips.len());
        let mut problems = Vec::with_capacity(total);
        for (done, stretch) in clips.chunks_mut(CLIPS_AT_ONCE).enumerate() {
            steps.at("videos", done * CLIPS_AT_ONCE, total)?;
            problems.par_extend(stretch.par_iter_mut().map(|clip| {
                let media = match media::look(clip.annotation.video.as_deref(), filters) {
                    Ok(media) => media,
                    Err(problem) => return Some(problem),
                };
                let outside = clip.annotation.label.outside(media.length(), filters.notice_slack_s);
                clip.media = Some(media);
                outside
            }));
        }
        let clips = self.sift(clips, problems);
        let problems = self.same_media(&clips, evaluation);
        Ok(self.sift(clips, problems))
    }

    /// Videos that were seen before, in the evaluation set or in the same source. The first in order is kept.
    fn same_media(&self, clips: &[Clip], evaluation: &Evaluation) -> Vec<Option<Problem>> {
        let filters = &self.config.filters;
        let held_out = evaluation.frames(filters.near_frames_bits);
        let mut hashes: HashMap<(usize, &records::ContentHash), usize> = HashMap::new();
        let mut frames: BTreeMap<usize, FrameIndex<'_>> = BTreeMap::new();
        let mut problems = Vec::with_capacity(clips.len());
        for (number, clip) in clips.iter().enumerate() {
            let Some(media) = &clip.media else {
                problems.push(None);
                continue;
            };
            let source = clip.annotation.source;
            let index = frames.entry(source).or_insert_with(|| FrameIndex::new(filters.near_frames_bits));
            let same = |reason: Reason, first: usize, what: &str| {
                let id = clips.get(first).map(|clip| clip.annotation.id.as_str()).unwrap_or_default();
                Some(Problem::new(reason, format!("{what} {id:?}")))
            };
            let near = |index: &FrameIndex<'_>| if filters.drop_near_frames { index.find(&media.print) } else { None };
            let problem = evaluation.by_media(media, &held_out).or_else(|| match hashes.get(&(source, &media.hash)) {
                Some(first) => same(Reason::DuplicateMedia, *first, "has the same video as"),
                None => {
                    near(index).and_then(|first| same(Reason::NearDuplicateFrames, first, "has nearly the frames of"))
                }
            });
            if problem.is_none() {
                hashes.insert((source, &media.hash), number);
                index.add(&media.print, number);
            }
            problems.push(problem);
        }
        problems
    }

    /// Descriptions that were seen before, in the evaluation set or in the same source.
    fn by_caption(&mut self, clips: Vec<Clip>, evaluation: &Evaluation) -> Vec<Clip> {
        let (filters, overlap) = (&self.config.filters, self.config.eval_set.caption_overlap);
        let mut problems: Vec<Option<Problem>> =
            clips.par_iter().map(|clip| evaluation.by_caption(&clip.annotation.caption, overlap)).collect();
        if filters.near_caption > 0.0 {
            let prints: Vec<CaptionPrint> =
                clips.par_iter().map(|clip| CaptionPrint::of(&clip.annotation.caption)).collect();
            let mut sources: BTreeMap<usize, CaptionIndex<'_>> = BTreeMap::new();
            for (number, (clip, print)) in clips.iter().zip(&prints).enumerate() {
                if problems[number].is_some() {
                    continue;
                }
                let index =
                    sources.entry(clip.annotation.source).or_insert_with(|| CaptionIndex::new(filters.near_caption));
                let near = index.find(print);
                match near.first().and_then(|first| clips.get(*first)) {
                    Some(first) if near.len() >= filters.near_caption_copies => {
                        let message = format!("has nearly the text of {:?}", first.annotation.id);
                        problems[number] = Some(Problem::new(Reason::NearEqualCaption, message));
                    }
                    _ => index.add(print, number),
                }
            }
        }
        self.sift(clips, problems)
    }

    /// Writes the rejects, then judges them.
    fn finish(&mut self, clips: &[Clip], output: &Output) -> Result<()> {
        self.rejects.sort_by(|a, b| {
            let order = |name: &str| self.config.source.iter().position(|source| source.name() == name);
            (order(&a.source), &a.file, a.line).cmp(&(order(&b.source), &b.file, b.line))
        });
        output.write_rejects(&self.rejects)?;
        let read: usize = self.counts.iter().map(|count| count.read).sum();
        self.within_budget("all sources", None, read, self.config.reject_budget, output)?;
        for (source, count) in self.config.source.iter().zip(&self.counts) {
            if let Some(budget) = source.reject_budget {
                self.within_budget(source.name(), Some(source.name()), count.read, budget, output)?;
            }
        }
        match clips.is_empty() {
            true => Err(Error::NothingKept { rejects: output.keep_rejects()? }),
            false => Ok(()),
        }
    }

    fn within_budget(&self, what: &str, source: Option<&str>, read: usize, budget: f64, output: &Output) -> Result<()> {
        let of = |reject: &&Reject| source.is_none_or(|name| reject.source == name) && reject.counts_against_budget;
        let counted: Vec<&Reject> = self.rejects.iter().filter(of).collect();
        if counted.len() as f64 <= budget * read as f64 {
            return Ok(());
        }
        let mut reasons: BTreeMap<Reason, (usize, &Reject)> = BTreeMap::new();
        for reject in &counted {
            reasons.entry(reject.code).or_insert((0, reject)).0 += 1;
        }
        let line = |(reason, (count, first)): (&Reason, &(usize, &Reject))| {
            let place = format!("{}: {}:{}", first.source, first.file, first.line);
            format!("  {count:>6} {:<22} first at {place}: {}\n", reason.code(), first.message)
        };
        Err(Error::Budget {
            what: what.to_owned(),
            rejected: counted.len(),
            read,
            budget,
            rejects: output.keep_rejects()?,
            summary: reasons.iter().map(line).collect(),
        })
    }
}

/// Why a text cannot be learnt from.
fn describes_nothing(text: &str, words_min: usize, phrases: &[String]) -> Option<Problem> {
    let words = text::words(text);
    let count = words.len();
    if count == 0 {
        return Some(Problem::new(Reason::EmptyText, "the description is empty"));
    }
    if let Some(why) = text::boilerplate(&words, phrases) {
        return Some(Problem::new(Reason::BoilerplateText, why));
    }
    (count < words_min).then(|| Problem::new(Reason::EmptyText, format!("{count} words; words_min is {words_min}")))
}

/// Reasoning clips carry their time in the name: `<uuid>_<start>_<end>`. The recipe's example spans 20 s in microseconds;
/// others write nanoseconds. The unit is the one that makes a clip of 1 s to 10 min.
fn length_by_name(id: &str) -> ClipLength {
    let mut parts = id.rsplit('_').map(|part| part.parse::<u64>().ok());
    let span = match (parts.next().flatten(), parts.next().flatten()) {
        (Some(end), Some(start)) => end.saturating_sub(start),
        _ => 0,
    };
    let mut lengths_s = [1e9, 1e6].into_iter().map(|unit| span as f64 / unit);
    ClipLength { duration_s: lengths_s.find(|seconds| (1.0..=600.0).contains(seconds)), frames: None }
}

fn split_clips(clips: &mut [Clip], config: &Config) {
    let seen: Vec<split::Clip<'_>> = clips
        .iter()
        .map(|clip| split::Clip {
            source: clip.annotation.source,
            drive: &clip.drive,
            media: clip.media.as_ref().map(|media| &media.hash),
        })
        .collect();
    let chosen: HashSet<String> =
        split::validation_drives(&seen, config.seed, config.split.validation_share).into_iter().collect();
    for clip in clips {
        clip.is_validation = chosen.contains(&clip.drive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_lengths() {
        let check = |id: &str, expect: Option<f64>| assert_eq!(length_by_name(id).duration_s, expect, "{id}");
        check("0a4db61e-5fdb_2712129538000_2712149538000", Some(20.0));
        check("0a4db61e-5fdb_2000000000_10000000000", Some(8.0));
        check("2dbb0693-be47_1635960777652742", None);
        check("a_5_3", None);
        check("a_1_2", None);
    }
}
