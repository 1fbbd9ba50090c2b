//! What is asked.

use serde::{Deserialize, Serialize};

/// A conversation that waits for its next message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// Messages, oldest first.
    pub messages: Vec<Message>,
    /// Most tokens to generate; none leaves it to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    #[serde(default)]
    pub temperature: f64,
    /// Seed of the draws; none leaves it to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl ChatRequest {
    /// A greedy request without a limit on tokens.
    pub fn greedy(messages: Vec<Message>) -> Self {
        Self { messages, max_tokens: None, temperature: 0.0, seed: None }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, in order.
    pub content: Vec<Content>,
}

impl Message {
    /// A message of text only.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Content::Text { text: text.into() }] }
    }

    /// A user's message: a video, then a text about it.
    pub fn video_and_text(video: impl Into<String>, text: impl Into<String>) -> Self {
        let content =
            vec![Content::VideoUrl { video_url: Url { url: video.into() } }, Content::Text { text: text.into() }];
        Self { role: Role::User, content }
    }

    /// The texts of the message, joined.
    pub fn joined_text(&self) -> String {
        let texts = self.content.iter().filter_map(|part| match part {
            Content::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// A text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    ImageUrl {
        /// Where it is.
        image_url: Url,
    },
    /// A video.
    VideoUrl {
        /// Where it is.
        video_url: Url,
    },
}

/// Where a picture or video is: a path, a `file:` or `data:` URL, or one that the model can fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// The place.
    pub url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_that_of_the_chat_api() {
        let message = Message::video_and_text("videos/a.mp4", "What is ahead?");
        let json = serde_json::to_string(&message).unwrap();
        let expect = r#"{"role":"user","content":[{"type":"video_url","video_url":{"url":"videos/a.mp4"}},{"type":"text","text":"What is ahead?"}]}"#;
        assert_eq!(json, expect);
        assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
        assert_eq!(message.joined_text(), "What is ahead?");
    }
}
