//! Conversations and the chat layout of both families, written as code.
//!
//! A conversation becomes a list of [`Segment`]s in which special tokens are ids, so that nothing a user writes can pass for one.

use crate::timestamps::{timestamp_text, timestamps};
use crate::{Error, Family, VideoInput, VisionConfig};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions, only as the first turn.
    System,
    /// The asker: text, videos, images.
    User,
    /// The model; its text is what training teaches.
    Assistant,
}

impl Role {
    /// The name in the chat layout.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A piece of a turn; videos and images are indices into the list of vision inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text, taken literally.
    Text(String),
    /// A video.
    Video(usize),
    /// An image.
    Image(usize),
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub content: Vec<Part>,
}

impl Turn {
    /// A turn of text alone.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Part::Text(text.into())] }
    }
}

/// The system message that Qwen2.5-VL's template puts first where there is none.
pub(crate) const DEFAULT_SYSTEM: &str = "You are a helpful assistant.";

/// Special tokens of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    ImStart,
    ImEnd,
    VisionStart,
    VisionEnd,
}

/// A stretch of a rendered conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Text tokenized together with the text next to it, as the reference does.
    Text(String),
    /// Text of the model, tokenized on its own and labelled.
    Answer(String),
    /// One special token; `labelled` for the `<|im_end|>` of an answer.
    Special { token: Special, labelled: bool },
    /// So many placeholders.
    Pads { video: bool, count: usize },
}

/// A rendered conversation, and which vision inputs it shows in which order.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub segments: Vec<Segment>,
    pub shown: Vec<(usize, bool)>,
}

impl Rendered {
    fn text(&mut self, text: &str) {
        match self.segments.last_mut() {
            Some(Segment::Text(last)) => last.push_str(text),
            _ => self.segments.push(Segment::Text(text.to_owned())),
        }
    }

    fn special(&mut self, token: Special, labelled: bool) {
        self.segments.push(Segment::Special { token, labelled });
    }
}

/// Renders `turns` in the family's layout; with `generation_prompt`, the model is asked to speak next.
///
/// # Errors
/// [`Error::Conversation`] if a system turn is not the first, only users show pictures, a vision index has no input, or there is no turn.
pub(crate) fn render(
    family: Family,
    turns: &[Turn],
    media: &[VideoInput],
    vision: &VisionConfig,
    generation_prompt: bool,
) -> Result<Rendered, Error> {
    let mut out = Rendered::default();
    if turns.is_empty() {
        return Err(Error::Conversation { turn: 0, what: "the conversation is empty".into() });
    }
    if family == Family::Qwen2_5Vl && turns.first().is_some_and(|turn| turn.role != Role::System) {
        render_turn(&mut out, family, 0, &Turn::text(Role::System, DEFAULT_SYSTEM), media, vision)?;
    }
    for (index, turn) in turns.iter().enumerate() {
        render_turn(&mut out, family, index, turn, media, vision)?;
    }
    if generation_prompt {
        out.special(Special::ImStart, false);
        out.text(&format!("{}\n", Role::Assistant.name()));
    }
    Ok(out)
}

fn render_turn(
    out: &mut Rendered,
    family: Family,
    index: usize,
    turn: &Turn,
    media: &[VideoInput],
    vision: &VisionConfig,
) -> Result<(), Error> {
    let fail = |what: String| Err(Error::Conversation { turn: index, what });
    if turn.role == Role::System && index > 0 {
        return fail("a system turn must be the first".into());
    }
    out.special(Special::ImStart, false);
    out.text(&format!("{}\n", turn.role.name()));
    if turn.role == Role::Assistant {
        out.segments.push(Segment::Answer(String::new()));
    }
    for part in &turn.content {
        match (part, turn.role) {
            (Part::Text(text), Role::Assistant) => {
                if let Some(Segment::Answer(answer)) = out.segments.last_mut() {
                    answer.push_str(text);
                }
            }
            (Part::Text(text), _) => out.text(text),
            (Part::Video(at) | Part::Image(at), Role::User) => {
                let video = matches!(part, Part::Video(_));
                let Some(input) = media.get(*at) else {
                    return fail(format!("vision input {at} of {} does not exist", media.len()));
                };
                out.shown.push((*at, video));
                render_vision(out, family, input, video, vision);
            }
            (Part::Video(_) | Part::Image(_), role) => {
                return fail(format!("a {} turn cannot hold a video or an image", role.name()));
            }
        }
    }
    out.special(Special::ImEnd, turn.role == Role::Assistant);
    out.text("\n");
    Ok(())
}

fn render_vision(out: &mut Rendered, family: Family, input: &VideoInput, video: bool, vision: &VisionConfig) {
    let grid = input.grid_thw;
    let block = |out: &mut Rendered, count: usize| {
        out.special(Special::VisionStart, false);
        out.segments.push(Segment::Pads { video, count });
        out.special(Special::VisionEnd, false);
    };
    if family == Family::Qwen2_5Vl || !video {
        return block(out, grid.patches() / vision.patches_per_token());
    }
    let per_patch = crate::GridThw { t: 1, ..grid }.patches() / vision.patches_per_token();
    let mut seconds =
        timestamps(&input.frame_indices, input.source_fps, vision.temporal_patch_size as usize).into_iter();
    for _ in 0..grid.t {
        out.text(&timestamp_text(seconds.next().unwrap_or(0.0)));
        block(out, per_patch);
    }
}
