//! The data-set card: what is in the set, what was left out and why, how long answers are, how often each is seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::config::Config;
use crate::convert::Lesson;
use crate::label::SourceKind;
use crate::reason::{Reason, Reject};
use crate::run::Clip;

/// Lower ends of the bins of the length histogram, in words or tokens.
const BINS: [usize; 9] = [0, 16, 32, 64, 128, 256, 512, 1024, 2048];

/// What a source held.
pub(crate) struct SourceCount {
    pub read: usize,
    pub videos_unlabelled: usize,
}

/// `card.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    /// Hash of all `meta.json` files: two sets of the same hash teach the same.
    pub dataset_hash: String,
    /// Seed of split and preview.
    pub seed: u64,
    /// Whether videos were looked at.
    pub decode: bool,
    /// Annotations read.
    pub read: usize,
    /// Annotations kept.
    pub kept: usize,
    /// Annotations rejected; `kept + rejected = read`.
    pub rejected: usize,
    /// Rejects that count against the budget.
    pub rejected_against_budget: usize,
    /// Clips of the evaluation set that were checked against.
    pub evaluation_clips: usize,
    /// Each source.
    pub sources: Vec<SourceCard>,
    /// Lengths of answers.
    pub lengths: Lengths,
    /// What a virtual epoch draws.
    pub blend: BlendCard,
    /// Samples made with each prompt.
    pub prompts: BTreeMap<String, usize>,
    /// Clips of each picture size.
    pub sizes: BTreeMap<String, usize>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// A source in the card.
#[derive(Clone, Debug, Serialize)]
pub struct SourceCard {
    /// Subdirectory.
    pub name: String,
    /// Format of its annotations.
    pub kind: SourceKind,
    /// Annotations read.
    pub read: usize,
    /// Annotations kept.
    pub kept: usize,
    /// Annotations rejected.
    pub rejected: usize,
    /// Rejects by reason.
    pub rejects: BTreeMap<&'static str, usize>,
    /// Videos without an annotation.
    pub videos_unlabelled: usize,
    /// Kept annotations without a video (only if videos are not looked at).
    pub videos_missing: usize,
    /// Special tokens that stand in answers as plain characters; the processor encodes them as text.
    pub special_tokens_as_text: usize,
    /// The training part.
    pub train: Part,
    /// The validation part.
    pub validation: Part,
}

/// A part of a source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Part {
    /// Clips.
    pub clips: usize,
    /// Drives.
    pub drives: usize,
    /// Samples: a clip gives one for each task that it can teach.
    pub samples: usize,
    /// Samples of each task.
    pub tasks: BTreeMap<&'static str, usize>,
    /// Length of all clips, in hours; 0 if videos were not looked at.
    pub hours: f64,
    /// Mean number of words of an answer.
    pub mean_answer_words: f64,
    #[serde(skip)]
    answers: usize,
    #[serde(skip)]
    words: usize,
}

/// Lengths of answers.
#[derive(Clone, Debug, Serialize)]
pub struct Lengths {
    /// Where the token counts come from.
    pub tokens_from: &'static str,
    /// The histogram.
    pub bins: Vec<Bin>,
    /// Most tokens of one answer.
    pub tokens_max: usize,
}

/// A bin of the histogram.
#[derive(Clone, Debug, Serialize)]
pub struct Bin {
    /// Lengths from here to below the next bin.
    pub from: usize,
    /// Answers of so many words.
    pub words: usize,
    /// Answers of so many tokens.
    pub tokens: usize,
}

/// The mix of a virtual epoch.
#[derive(Clone, Debug, Serialize)]
pub struct BlendCard {
    /// Samples drawn in one virtual epoch.
    pub virtual_epoch: u64,
    /// For each source.
    pub sources: Vec<BlendSource>,
}

/// A source in a virtual epoch.
#[derive(Clone, Debug, Serialize)]
pub struct BlendSource {
    /// Subdirectory.
    pub name: String,
    /// Share of the draws.
    pub weight: f64,
    /// Expected draws.
    pub draws: f64,
    /// Training samples.
    pub samples: usize,
    /// How often each sample is seen in one virtual epoch.
    pub effective_epochs: f64,
}

impl Card {
    pub(crate) fn new(config: &Config, counts: &[SourceCount], rejects: &[Reject], evaluation_clips: usize) -> Self {
        let sources = config.source.iter().zip(counts).map(|(source, count)| {
            let mut by_reason = BTreeMap::new();
            for reject in rejects.iter().filter(|reject| reject.source == source.name()) {
                *by_reason.entry(reject.code.code()).or_insert(0) += 1;
            }
            let rejected = by_reason.values().sum();
            SourceCard {
                name: source.name().to_owned(),
                kind: source.kind,
                read: count.read,
                kept: count.read - rejected,
                rejected,
                rejects: by_reason,
                videos_unlabelled: count.videos_unlabelled,
                videos_missing: 0,
                special_tokens_as_text: 0,
                train: Part::default(),
                validation: Part::default(),
            }
        });
        let sources: Vec<SourceCard> = sources.collect();
        let read = counts.iter().map(|count| count.read).sum();
        Self {
            dataset_hash: String::new(),
            seed: config.seed,
            decode: config.decode,
            read,
            kept: read - rejects.len(),
            rejected: rejects.len(),
            rejected_against_budget: rejects.iter().filter(|reject| reject.counts_against_budget).count(),
            evaluation_clips,
            sources,
            lengths: Lengths {
                tokens_from: "",
                bins: BINS.iter().map(|&from| Bin { from, words: 0, tokens: 0 }).collect(),
                tokens_max: 0,
            },
            blend: BlendCard { virtual_epoch: 0, sources: Vec::new() },
            prompts: BTreeMap::new(),
            sizes: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Counts a clip that was written, with its lessons and the (words, tokens) of their answers.
    pub(crate) fn count(&mut self, clip: &Clip, lessons: &[Lesson], lengths: &[(usize, usize)]) {
        for (words, tokens) in lengths {
            let bin = |length: usize| BINS.iter().rposition(|&from| length >= from).unwrap_or(0);
            self.lengths.bins[bin(*words)].words += 1;
            self.lengths.bins[bin(*tokens)].tokens += 1;
            self.lengths.tokens_max = self.lengths.tokens_max.max(*tokens);
        }
        for lesson in lessons {
            *self.prompts.entry(lesson.prompt.clone()).or_default() += 1;
        }
        if let Some(media) = &clip.media {
            *self.sizes.entry(format!("{}x{}", media.width, media.height)).or_default() += 1;
        }
        let Some(source) = self.sources.get_mut(clip.annotation.source) else { return };
        let specials =
            lessons.iter().flat_map(|lesson| &lesson.turns).map(|(_, answer)| crate::text::special_tokens(answer));
        source.special_tokens_as_text += specials.sum::<usize>();
        source.videos_missing += usize::from(clip.media.is_none() && clip.annotation.video.is_none());
        let part = if clip.is_validation { &mut source.validation } else { &mut source.train };
        part.clips += 1;
        part.samples += lessons.len();
        part.hours += clip.media.as_ref().map_or(0.0, |media| media.duration_s) / 3600.0;
        part.answers += lengths.len();
        part.words += lengths.iter().map(|(words, _)| words).sum::<usize>();
        for lesson in lessons {
            *part.tasks.entry(lesson.task.name()).or_default() += 1;
        }
    }

    /// Fills in what follows from the counts.
    pub(crate) fn finish(&mut self, config: &Config, clips: &[Clip]) {
        for (nth, source) in self.sources.iter_mut().enumerate() {
            for (part, validation) in [(&mut source.train, false), (&mut source.validation, true)] {
                let of = clips.iter().filter(|clip| clip.annotation.source == nth && clip.is_validation == validation);
                part.drives = of.map(|clip| clip.drive.as_str()).collect::<std::collections::HashSet<_>>().len();
                part.mean_answer_words = part.words as f64 / part.answers.max(1) as f64;
            }
        }
        self.blend = self.blend(config);
        self.notes.extend(self.found(config));
    }

    fn blend(&self, config: &Config) -> BlendCard {
        let samples: Vec<usize> = self.sources.iter().map(|source| source.train.samples).collect();
        let weights: Vec<f64> = match &config.blend.weights {
            Some(weights) => weights.clone(),
            None => samples.iter().map(|&count| count as f64).collect(),
        };
        let sum: f64 = weights.iter().sum();
        let virtual_epoch = config.blend.virtual_epoch.unwrap_or(samples.iter().sum::<usize>() as u64);
        let sources = self.sources.iter().zip(weights).zip(&samples).map(|((source, weight), &samples)| {
            let draws = weight / sum.max(f64::MIN_POSITIVE) * virtual_epoch as f64;
            BlendSource {
                name: source.name.clone(),
                weight: weight / sum.max(f64::MIN_POSITIVE),
                draws,
                samples,
                effective_epochs: if samples == 0 { 0.0 } else { draws / samples as f64 },
            }
        });
        BlendCard { virtual_epoch, sources: sources.collect() }
    }

    /// What is worth a sentence.
    fn found(&self, config: &Config) -> Vec<String> {
        let mut notes = Vec::new();
        for source in &self.sources {
            let name = &source.name;
            if source.train.samples == 0 {
                notes.push(format!("{name} has no training sample: its weight in a blend must be 0"));
            }
            if source.validation.samples == 0 && config.split.validation_share > 0.0 {
                notes.push(format!("{name} has no validation sample: it has too few drives to give one away"));
            }
            if source.special_tokens_as_text > 0 {
                let count = source.special_tokens_as_text;
                notes.push(format!(
                    "{count} special tokens stand in answers of {name}; they are kept and encoded as plain text"
                ));
            }
            if source.videos_unlabelled > 0 {
                notes.push(format!("{} videos of {name} have no annotation", source.videos_unlabelled));
            }
            if source.videos_missing > 0 {
                notes.push(format!(
                    "{} clips of {name} have no video, and videos were not looked at",
                    source.videos_missing
                ));
            }
        }
        for source in self.blend.sources.iter().filter(|source| source.effective_epochs >= 4.0) {
            let (name, epochs, draws) = (&source.name, source.effective_epochs, self.blend.virtual_epoch);
            notes
                .push(format!("each sample of {name} is seen {epochs:.1} times in one virtual epoch of {draws} draws"));
        }
        if !config.decode {
            notes.push("videos were not looked at: no duration, no duplicate by media or frames, no preview".into());
        }
        if self.evaluation_clips == 0 {
            notes.push("no evaluation set was given: nothing was checked for leakage".into());
        }
        notes
    }

    /// `card.md`.
    pub(crate) fn markdown(&self) -> String {
        let mut page = String::from("# Data-set card\n\n");
        let _ = writeln!(
            page,
            "{} annotations read, {} kept, {} rejected ({} against the budget). Seed {}. Data-set hash `{}`.\n",
            self.read, self.kept, self.rejected, self.rejected_against_budget, self.seed, self.dataset_hash
        );
        page.push_str("## Sources\n\n| source | part | clips | drives | samples | hours | mean s | mean answer words |\n|---|---|---:|---:|---:|---:|---:|---:|\n");
        let mut total = [(0usize, 0usize, 0f64); 2];
        for source in &self.sources {
            for (nth, (name, part)) in
                [("train", &source.train), ("validation", &source.validation)].into_iter().enumerate()
            {
                let mean = 3600.0 * part.hours / part.clips.max(1) as f64;
                let _ = writeln!(
                    page,
                    "| {} | {name} | {} | {} | {} | {:.3} | {mean:.1} | {:.1} |",
                    source.name, part.clips, part.drives, part.samples, part.hours, part.mean_answer_words
                );
                total[nth].0 += part.clips;
                total[nth].1 += part.samples;
                total[nth].2 += part.hours;
            }
        }
        for (name, (clips, samples, hours)) in ["train", "validation"].iter().zip(total) {
            let _ = writeln!(page, "| **total** | {name} | {clips} | | {samples} | {hours:.3} | | |");
        }
        self.rejects_table(&mut page);
        self.lengths_table(&mut page);
        self.blend_table(&mut page);
        page.push_str("\n## Prompts\n\n| prompt | samples |\n|---|---:|\n");
        for (prompt, samples) in &self.prompts {
            let _ = writeln!(page, "| `{prompt}` | {samples} |");
        }
        if !self.sizes.is_empty() {
            page.push_str("\n## Picture sizes\n\n| size | clips |\n|---|---:|\n");
            for (size, clips) in &self.sizes {
                let _ = writeln!(page, "| {size} | {clips} |");
            }
        }
        if !self.notes.is_empty() {
            page.push_str("\n## Notes\n\n");
            self.notes.iter().for_each(|note| page.push_str(&format!("- {note}\n")));
        }
        page
    }

    fn rejects_table(&self, page: &mut String) {
        page.push_str(
            "\n## Kept and rejected\n\n| source | read | kept | rejected | why |\n|---|---:|---:|---:|---|\n",
        );
        for source in &self.sources {
            let why: Vec<String> = source.rejects.iter().map(|(code, count)| format!("{code} {count}")).collect();
            let (read, kept, rejected) = (source.read, source.kept, source.rejected);
            let _ = writeln!(page, "| {} | {read} | {kept} | {rejected} | {} |", source.name, why.join(", "));
        }
        let policy: Vec<&str> =
            Reason::ALL.iter().filter(|reason| !reason.counts_against_budget()).map(|reason| reason.code()).collect();
        let _ = writeln!(
            page,
            "\nNot counted against the budget: {}. Every reject is in `rejects.jsonl`.",
            policy.join(", ")
        );
    }

    fn lengths_table(&self, page: &mut String) {
        let _ = writeln!(
            page,
            "\n## Length of answers\n\nTokens: {}. The longest answer has {}.\n",
            self.lengths.tokens_from, self.lengths.tokens_max
        );
        page.push_str("| length | by words | by tokens |\n|---|---:|---:|\n");
        let ends = self.lengths.bins.iter().skip(1).map(|bin| format!("{}", bin.from - 1)).chain([String::new()]);
        for (bin, end) in self.lengths.bins.iter().zip(ends) {
            let _ = writeln!(page, "| {}-{end} | {} | {} |", bin.from, bin.words, bin.tokens);
        }
    }

    fn blend_table(&self, page: &mut String) {
        let _ = writeln!(page, "\n## Blend\n\nOne virtual epoch of {} draws:\n", self.blend.virtual_epoch);
        page.push_str("| source | weight | draws | samples | times each sample is seen |\n|---|---:|---:|---:|---:|\n");
        for source in &self.blend.sources {
            let _ = writeln!(
                page,
                "| {} | {:.3} | {:.0} | {} | {:.2} |",
                source.name, source.weight, source.draws, source.samples, source.effective_epochs
            );
        }
    }
}
