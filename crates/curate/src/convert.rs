//! From a checked annotation to conversations.

use serde_json::{Value, json};

use crate::config::Task;
use crate::label::Label;
use crate::prompts::{AnswerForm, LabelForm, Prompts, TaskPrompt};
use crate::source::Annotation;

/// A conversation to learn, without its video.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lesson {
    pub task: Task,
    /// Name and version of its prompt.
    pub prompt: String,
    pub system: String,
    /// Questions and answers; the video is shown before the first question.
    pub turns: Vec<(String, String)>,
}

/// The lessons that an annotation can teach, of those asked for.
pub(crate) fn lessons(annotation: &Annotation, tasks: &[Task], prompts: &Prompts) -> Vec<Lesson> {
    tasks.iter().filter_map(|task| lesson(annotation, *task, prompts)).collect()
}

fn lesson(annotation: &Annotation, task: Task, prompts: &Prompts) -> Option<Lesson> {
    let labels = match annotation.label {
        Label::Human(_) => LabelForm::Human,
        Label::ThreePart(_) => LabelForm::HumanThreePart,
        Label::Cv(_) => LabelForm::Cv,
        Label::Reasoning(_) => LabelForm::Reasoning,
    };
    let prompt = prompts.get(task, labels)?;
    let turns = match task {
        Task::Vqa => dialogue(prompt, &annotation.questions)?,
        _ => vec![(prompt.user.clone(), answer(annotation, prompt)?)],
    };
    Some(Lesson { task, prompt: prompt.name(), system: prompt.system.clone(), turns })
}

fn answer(annotation: &Annotation, prompt: &TaskPrompt) -> Option<String> {
    match (&annotation.label, prompt.task, prompt.form) {
        (Label::Human(label), Task::Rubric, _) => fenced(&label.rubric()),
        (Label::Reasoning(label), Task::Reasoning, AnswerForm::Json) => fenced(&label.json()),
        (Label::Reasoning(label), Task::Reasoning, AnswerForm::Text) => Some(label.prose()),
        (_, Task::Caption, _) => Some(annotation.caption.clone()),
        _ => None,
    }
}

/// A fenced `json` block, indented by two.
fn fenced(value: &Value) -> Option<String> {
    let text = serde_json::to_string_pretty(value).ok()?;
    Some(format!("```json\n{text}\n```"))
}

fn dialogue(prompt: &TaskPrompt, questions: &[(String, String)]) -> Option<Vec<(String, String)>> {
    let mut turns = questions.to_vec();
    let first = turns.first_mut()?;
    if !prompt.user.is_empty() {
        first.0 = format!("{}\n{}", prompt.user, first.0);
    }
    Some(turns)
}

impl Lesson {
    /// The conversation of a `meta.json` entry.
    pub fn conversation(&self) -> Value {
        let mut turns = Vec::with_capacity(2 * self.turns.len() + 1);
        if !self.system.is_empty() {
            turns.push(json!({"role": "system", "content": self.system}));
        }
        for (nth, (question, answer)) in self.turns.iter().enumerate() {
            let content = match nth {
                0 => json!([{"type": "video", "video": "video_0"}, {"type": "text", "text": question}]),
                _ => json!(question),
            };
            turns.push(json!({"role": "user", "content": content}));
            turns.push(json!({"role": "assistant", "content": answer}));
        }
        Value::Array(turns)
    }
}
