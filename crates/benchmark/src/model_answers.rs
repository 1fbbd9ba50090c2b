//! A chat model as answerer. What it says must be a choice as such, nothing is guessed from prose: gold labels are at stake.

use std::path::PathBuf;

use chat::{ChatModel, ChatRequest, FinishReason, Message};

use crate::{Answer, Answerer, DraftItem, PromptForm, Result, answer::of_text};

/// Asks a model that sees the video.
pub struct ModelAnswers<'a> {
    /// Who is asked.
    pub model: &'a dyn ChatModel,
    /// Folder that the videos of the items are relative to.
    pub root: PathBuf,
}

impl Answerer for ModelAnswers<'_> {
    fn answer(&self, item: &DraftItem) -> Result<Answer> {
        let text = format!(
            "{}\nIf the video does not show it, answer: cannot be determined",
            PromptForm::LetterFirst.render(&item.question, &item.options)
        );
        let video = self.root.join(&item.video).display().to_string();
        let mut request = ChatRequest::greedy(vec![Message::video_and_text(video, text)]);
        request.max_tokens = Some(32);
        Ok(match self.model.answer(&request) {
            Err(error) => Answer::None(format!("failed: {error}")),
            Ok(answer) => match answer.finish_reason {
                FinishReason::Refused => Answer::None("refused".into()),
                FinishReason::Length => Answer::None("truncated".into()),
                FinishReason::Stop if answer.text.trim().is_empty() => Answer::None("no_answer".into()),
                FinishReason::Stop => of_text(&answer.text, item),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat::{ChatAnswer, ChatError};
    use records::Category;

    /// Says always the same.
    struct Says(&'static str, FinishReason);

    impl ChatModel for Says {
        fn name(&self) -> &str {
            "says"
        }

        fn answer(&self, request: &ChatRequest) -> std::result::Result<ChatAnswer, ChatError> {
            let asked = request.messages[0].joined_text();
            assert!(asked.contains("(B) Rain\n"), "{asked}");
            if self.0 == "fail" {
                return Err(ChatError::Failed { model: "says".into(), message: "no route".into() });
            }
            Ok(ChatAnswer { text: self.0.into(), finish_reason: self.1, usage: None })
        }
    }

    #[test]
    fn only_a_choice_is_a_choice() {
        let item = DraftItem {
            id: "a/w".into(),
            clip: "a".into(),
            video: "videos/a.mp4".into(),
            question_id: "w".into(),
            category: Category::SceneDescription,
            required: true,
            question: "What is the weather?".into(),
            options: ["Clear", "Rain", "Snow", "Fog"].map(str::to_owned),
            permutation: [0, 1, 2, 3],
        };
        let check = |text: &'static str, finish: FinishReason, expect: Answer| {
            let model = Says(text, finish);
            let answers = ModelAnswers { model: &model, root: PathBuf::new() };
            assert_eq!(answers.answer(&item).unwrap(), expect, "{text:?}");
        };
        let none = |reason: &str| Answer::None(reason.into());
        check("B", FinishReason::Stop, Answer::Choice(1));
        check("(b).", FinishReason::Stop, Answer::Choice(1));
        check("rain.", FinishReason::Stop, Answer::Choice(1));
        check("Cannot be determined.", FinishReason::Stop, Answer::CannotTell);
        check("It is raining, so B", FinishReason::Stop, none("no_such_choice"));
        check("", FinishReason::Stop, none("no_answer"));
        check("B", FinishReason::Length, none("truncated"));
        check("", FinishReason::Refused, none("refused"));
        check("fail", FinishReason::Stop, none("failed: says: the request failed: no route"));
    }
}
