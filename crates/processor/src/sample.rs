//! A conversation as ids, labels and positions.

use crate::chat::{Rendered, Segment, Special, render};
use crate::positions::{VideoTime, qwen2_5_vl, qwen3_vl};
use crate::{Error, Family, GridThw, Processor, Turn, VideoInput, VlmInput};

/// The label of a token that is not trained.
const IGNORED: i32 = -100;

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The conversation as it is; answers and the `<|im_end|>` after each are labelled.
    Train,
    /// The conversation, then the start of an assistant turn; nothing is labelled.
    Generate,
}

/// What to do with a sample of more than `max_length` tokens. A vision block is never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlength {
    /// An error.
    Refuse,
    /// Drop text after the last vision token: for training from the end; for generation from the end of the last turn, whose
    /// closing tokens and the start of the assistant turn stay.
    CutText,
}

/// An encoded conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// What the model eats.
    pub input: VlmInput,
    /// Tokens dropped to reach `max_length`.
    pub cut_tokens: usize,
    /// Tokens with a label.
    pub labelled: usize,
}

/// Ids with labels while a sample is made.
#[derive(Default)]
struct Tokens {
    ids: Vec<u32>,
    labels: Vec<i32>,
    /// Where each `<|im_start|>` is.
    turn_starts: Vec<usize>,
    /// End of the last vision block.
    vision_end: usize,
    /// Where the last `<|im_end|>` is: what follows asks the model to speak.
    tail_start: usize,
}

impl Tokens {
    fn push(&mut self, ids: &[u32], labelled: bool) {
        self.ids.extend_from_slice(ids);
        self.labels.extend(ids.iter().map(|&id| if labelled { id as i32 } else { IGNORED }));
    }
}

impl Processor {
    /// Encodes a conversation. `media` are the vision inputs that its parts refer to.
    ///
    /// # Errors
    /// [`Error::Conversation`], [`Error::Overlength`] or [`Error::Tokenizer`].
    pub fn sample(
        &self,
        turns: &[Turn],
        media: &[VideoInput],
        purpose: Purpose,
        overlength: Overlength,
        max_length: usize,
    ) -> Result<Encoded, Error> {
        let (mut encoded, shown) = self.encode(turns, media, purpose, overlength, max_length)?;
        for at in shown {
            encoded.input.pixel_values.extend_from_slice(&media[at].pixel_values);
        }
        Ok(encoded)
    }

    /// [`Self::sample`] without the pixels: for planning, for callers that move the patches in themselves, for prompts that share a clip.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn sample_tokens(
        &self,
        turns: &[Turn],
        media: &[VideoInput],
        purpose: Purpose,
        overlength: Overlength,
        max_length: usize,
    ) -> Result<Encoded, Error> {
        Ok(self.encode(turns, media, purpose, overlength, max_length)?.0)
    }

    fn encode(
        &self,
        turns: &[Turn],
        media: &[VideoInput],
        purpose: Purpose,
        overlength: Overlength,
        max_length: usize,
    ) -> Result<(Encoded, Vec<usize>), Error> {
        let rendered = render(self.family, turns, media, &self.vision, purpose == Purpose::Generate)?;
        let mut tokens = self.tokenize(&rendered, purpose)?;
        let cut_tokens = if tokens.ids.len() > max_length {
            self.cut(&mut tokens, turns, purpose, overlength, max_length)?
        } else {
            0
        };
        let shown: Vec<usize> = rendered.shown.iter().map(|&(at, _)| at).collect();
        let grid_thw: Vec<GridThw> = shown.iter().map(|&at| media[at].grid_thw).collect();
        let positions = match self.family {
            Family::Qwen3Vl => qwen3_vl(&tokens.ids, &grid_thw, &self.vision_ids, self.vision.merge_size)?,
            Family::Qwen2_5Vl => {
                let videos = rendered.shown.iter().filter(|(_, video)| *video);
                let temporal = f64::from(self.vision.temporal_patch_size);
                let seconds: Vec<f64> = videos.map(|&(at, _)| temporal / media[at].sample_fps).collect();
                let tokens_per_second = self.vision.tokens_per_second.unwrap_or(2.0);
                let time =
                    VideoTime { second_per_grid_ts: &seconds, tokens_per_second, rounding: self.seconds_per_grid };
                qwen2_5_vl(&tokens.ids, &grid_thw, &self.vision_ids, self.vision.merge_size, time)?
            }
        };
        let labelled = tokens.labels.iter().filter(|&&label| label != IGNORED).count();
        let input = VlmInput {
            input_ids: tokens.ids,
            labels: tokens.labels,
            position_ids: positions.position_ids,
            pixel_values: Vec::new(),
            grid_thw,
            rope_delta: positions.rope_delta,
        };
        Ok((Encoded { input, cut_tokens, labelled }, shown))
    }

    fn tokenize(&self, rendered: &Rendered, purpose: Purpose) -> Result<Tokens, Error> {
        let mut tokens = Tokens::default();
        let train = purpose == Purpose::Train;
        for segment in &rendered.segments {
            match segment {
                Segment::Text(text) => tokens.push(&self.tokenizer.encode_text(text)?, false),
                Segment::Answer(text) => tokens.push(&self.tokenizer.encode_text(text)?, train),
                Segment::Pads { video, count } => {
                    let pad = if *video { self.vision_ids.video } else { self.vision_ids.image };
                    tokens.push(&vec![pad; *count], false);
                }
                Segment::Special { token, labelled } => {
                    let id = match token {
                        Special::ImStart => self.im_start,
                        Special::ImEnd => self.im_end,
                        Special::VisionStart => self.vision_ids.vision_start,
                        Special::VisionEnd => self.vision_ids.vision_end,
                    };
                    match token {
                        Special::ImStart => tokens.turn_starts.push(tokens.ids.len()),
                        Special::ImEnd => tokens.tail_start = tokens.ids.len(),
                        Special::VisionStart | Special::VisionEnd => {}
                    }
                    tokens.push(&[id], *labelled && train);
                    if *token == Special::VisionEnd {
                        tokens.vision_end = tokens.ids.len();
                    }
                }
            }
        }
        Ok(tokens)
    }

    /// Brings too long a sample down to `max_length`; returns the number of tokens dropped.
    fn cut(
        &self,
        tokens: &mut Tokens,
        turns: &[Turn],
        purpose: Purpose,
        policy: Overlength,
        max_length: usize,
    ) -> Result<usize, Error> {
        let total = tokens.ids.len();
        // First token that may go, and first token after those that must stay.
        let (first, end) = match purpose {
            Purpose::Train => (tokens.vision_end, total),
            Purpose::Generate => {
                let header = turns.last().map_or(Ok(0), |turn| {
                    self.tokenizer.encode_text(&format!("{}\n", turn.role.name())).map(|ids| ids.len())
                })?;
                let last_turn = tokens.turn_starts.iter().rev().nth(1).map_or(0, |start| start + 1 + header);
                (tokens.vision_end.max(last_turn), tokens.tail_start)
            }
        };
        let excess = total - max_length;
        let removable = end.saturating_sub(first);
        if policy == Overlength::Refuse || excess > removable {
            return Err(Error::Overlength { tokens: total, needed: total - removable, max_length, policy });
        }
        tokens.ids.drain(end - excess..end);
        tokens.labels.drain(end - excess..end);
        Ok(excess)
    }
}
