//! What it takes to ask a chat model: messages, answers, one trait.
//!
//! Shapes are those of the OpenAI chat API, with vLLM's `video_url` part, so that a request written as JSON is one that
//! a server takes. Who answers (our own engine, a server, a script in a test) is behind [`ChatModel`].

#![forbid(unsafe_code)]

mod message;
mod model;

pub use message::{ChatRequest, Content, Message, Role, Url};
pub use model::{ChatAnswer, ChatError, ChatModel, FinishReason, Usage};
