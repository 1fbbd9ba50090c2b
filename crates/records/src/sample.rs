//! One training or evaluation sample: media and a conversation about them.

use serde::{Deserialize, Serialize};

use crate::{DataRoot, Error, Result};

/// A sample as its data file describes it; nothing has been opened yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the sample, unique in its file.
    pub id: String,
    /// Clips and pictures that the conversation refers to by position.
    pub media: Vec<Media>,
    /// What is to be said.
    pub target: Target,
}

/// A clip or a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Clip or picture.
    pub kind: MediaKind,
    /// Path relative to the data root.
    pub path: String,
}

/// Clip or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A video file.
    Video,
    /// A still picture.
    Image,
}

/// What a sample teaches.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A dialogue with at least one assistant turn.
    Conversation(Vec<Turn>),
    /// A file, relative to the data root, whose whole text is the answer to the run's prompt.
    TextFile(String),
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

/// One turn of a dialogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, in order.
    pub content: Vec<Part>,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Words.
    Text(String),
    /// Index into the media of the sample.
    Media(usize),
}

/// The prompt of samples that bring only an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// System text; none if empty.
    pub system: String,
    /// User text, put after the media.
    pub user: String,
}

impl Sample {
    /// The whole dialogue; for [`Target::TextFile`] made of the media, `prompt` and the file's text without the
    /// white space around it.
    ///
    /// # Errors
    /// [`Error`] if the text file leaves the root, is missing, is not UTF-8 or is empty.
    pub fn conversation(&self, root: &DataRoot, prompt: &Prompt) -> Result<Vec<Turn>> {
        let file = match &self.target {
            Target::Conversation(turns) => return Ok(turns.clone()),
            Target::TextFile(file) => file,
        };
        let path = root.resolve(file)?;
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", e))?;
        let answer = text.trim();
        if answer.is_empty() {
            return Err(Error::Json { path, message: "the text is empty; there is nothing to train on".into() });
        }
        let mut shown: Vec<Part> = (0..self.media.len()).map(Part::Media).collect();
        shown.push(Part::Text(prompt.user.clone()));
        let mut turns = Vec::with_capacity(3);
        if !prompt.system.is_empty() {
            turns.push(Turn { role: Role::System, content: vec![Part::Text(prompt.system.clone())] });
        }
        turns.push(Turn { role: Role::User, content: shown });
        turns.push(Turn { role: Role::Assistant, content: vec![Part::Text(answer.to_owned())] });
        Ok(turns)
    }
}
