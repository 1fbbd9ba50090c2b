//! Who answers, and what came of it.

use serde::{Deserialize, Serialize};

use crate::ChatRequest;

/// Something that answers chats. Object safe, and shared between threads.
pub trait ChatModel: Send + Sync {
    /// Name of the model, for records.
    fn name(&self) -> &str;

    /// Answers one request. A refusal and a cut answer are answers, told by their finish reason; only a request
    /// without any answer is an error.
    ///
    /// # Errors
    /// [`ChatError`].
    fn answer(&self, request: &ChatRequest) -> Result<ChatAnswer, ChatError>;
}

/// What a model said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatAnswer {
    /// The text, special tokens removed.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens used; none if the model does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// The limit on tokens was reached: the answer is cut.
    Length,
    /// The model or its host declined.
    #[serde(alias = "content_filter")]
    Refused,
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, vision tokens included.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The request failed, retries included.
    #[error("{model}: the request failed: {message}")]
    Failed {
        /// Name of the model.
        model: String,
        /// Why, in words.
        message: String,
    },
    /// The model cannot take this request: a part it does not know, a prompt that is too long.
    #[error("{model}: the request is not one that it takes: {message}")]
    Unsupported {
        /// Name of the model.
        model: String,
        /// What to change.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Role};

    /// Answers from a list of (what the question contains, answer).
    struct Scripted(Vec<(&'static str, ChatAnswer)>);

    impl ChatModel for Scripted {
        fn name(&self) -> &str {
            "scripted"
        }

        fn answer(&self, request: &ChatRequest) -> Result<ChatAnswer, ChatError> {
            let asked = request.messages.last().map(Message::joined_text).unwrap_or_default();
            let found = self.0.iter().find(|(part, _)| asked.contains(part)).map(|(_, answer)| answer.clone());
            let message = format!("nothing is scripted for {asked:?}");
            found.ok_or(ChatError::Failed { model: self.name().into(), message })
        }
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_failure_is_not() {
        let refused = ChatAnswer { text: String::new(), finish_reason: FinishReason::Refused, usage: None };
        let model: Box<dyn ChatModel> = Box::new(Scripted(vec![("weather", refused.clone())]));
        let ask = |text: &str| model.answer(&ChatRequest::greedy(vec![Message::text(Role::User, text)]));
        assert_eq!(ask("the weather?").unwrap(), refused);
        assert!(ask("the road?").unwrap_err().to_string().contains("the road?"));
        let filtered: FinishReason = serde_json::from_str(r#""content_filter""#).unwrap();
        assert_eq!(filtered, FinishReason::Refused);
    }
}
