//! Declared, versioned prompts: what is asked in the training samples.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::config::{Task, from_toml};
use crate::{Error, Result};

/// The built-in prompts.
const BUILTIN: &str = include_str!("../prompts/prompts.toml");

/// What a task is taught from: the format of the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelForm {
    /// Human labels of 17 fields.
    Human,
    /// Human labels of three components.
    HumanThreePart,
    /// Auto-labels.
    Cv,
    /// Reasoning labels.
    Reasoning,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerForm {
    /// Prose.
    Text,
    /// A fenced `json` block, indented by two.
    Json,
}

/// One prompt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPrompt {
    /// What is taught.
    pub task: Task,
    /// What it is taught from.
    pub labels: LabelForm,
    /// Raised with every change of the text.
    pub version: u32,
    /// How the answer is written.
    pub form: AnswerForm,
    /// Standing instructions; none if empty.
    pub system: String,
    /// The question.
    pub user: String,
}

impl TaskPrompt {
    /// Name and version, such as `caption/human@1`.
    pub fn name(&self) -> String {
        let labels = match self.labels {
            LabelForm::Human => "human",
            LabelForm::HumanThreePart => "human_three_part",
            LabelForm::Cv => "cv",
            LabelForm::Reasoning => "reasoning",
        };
        format!("{}/{labels}@{}", self.task.name(), self.version)
    }
}

/// All prompts of a run.
#[derive(Clone, Debug)]
pub struct Prompts {
    list: BTreeMap<(Task, LabelForm), TaskPrompt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptFile {
    prompt: Vec<TaskPrompt>,
}

impl Prompts {
    /// The built-in prompts, with those of a file in their place.
    ///
    /// # Errors
    /// [`Error::Config`] if the file is not as `prompts.toml`, names a prompt twice, or gives a built-in name and version
    /// another text.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let mut prompts = Self::parse(Path::new("prompts.toml"), BUILTIN)?;
        let Some(path) = file else { return Ok(prompts) };
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))?;
        for (key, prompt) in Self::parse(path, &text)?.list {
            if prompts.list.get(&key).is_some_and(|built_in| built_in.name() == prompt.name() && *built_in != prompt) {
                let name = prompt.name();
                let message = format!("{name} differs from the built-in {name}; give it a higher `version`");
                return Err(Error::Config { place: path.display().to_string(), message });
            }
            prompts.list.insert(key, prompt);
        }
        Ok(prompts)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let file: PromptFile = from_toml(path, text)?;
        let mut list = BTreeMap::new();
        for prompt in file.prompt {
            if let Some(first) = list.insert((prompt.task, prompt.labels), prompt.clone()) {
                let message =
                    format!("{} and {} are for the same task and labels; keep one", first.name(), prompt.name());
                return Err(Error::Config { place: path.display().to_string(), message });
            }
        }
        Ok(Self { list })
    }

    /// All prompts, by task.
    pub fn all(&self) -> impl Iterator<Item = &TaskPrompt> {
        self.list.values()
    }

    /// The prompt of a task for labels of a form; `None` if such labels cannot teach it.
    pub fn get(&self, task: Task, labels: LabelForm) -> Option<&TaskPrompt> {
        // Questions are asked in the same way whatever the label beside them is.
        let labels = match (task, labels) {
            (Task::Vqa, LabelForm::HumanThreePart) => LabelForm::Human,
            _ => labels,
        };
        self.list.get(&(task, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::{LIGHTING, META_ACTIONS, WEATHER};

    #[test]
    fn the_rubric_names_every_value_of_every_closed_list() {
        let prompts = Prompts::read(None).unwrap();
        let rubric = &prompts.get(Task::Rubric, LabelForm::Human).unwrap().user;
        for value in [WEATHER, LIGHTING, META_ACTIONS].concat() {
            assert!(rubric.contains(&format!("{value:?}")), "{value}");
        }
        assert_eq!(prompts.get(Task::Caption, LabelForm::Cv).unwrap().name(), "caption/cv@1");
        assert!(prompts.get(Task::Rubric, LabelForm::Cv).is_none());
    }

    #[test]
    fn a_file_replaces_by_a_higher_version() {
        let folder = tempfile::tempdir().unwrap();
        let read = |version: u32, tail: &str| {
            let path = folder.path().join("p.toml");
            let text = format!(
                "[[prompt]]\ntask = \"caption\"\nlabels = \"cv\"\nversion = {version}\nform = \"text\"\nsystem = \"\"\nuser = \"Why?\"\n{tail}"
            );
            std::fs::write(&path, text).unwrap();
            Prompts::read(Some(&path)).map_err(|e| e.to_string())
        };
        let prompts = read(2, "").unwrap();
        assert_eq!(prompts.get(Task::Caption, LabelForm::Cv).unwrap().name(), "caption/cv@2");
        assert!(prompts.get(Task::Rubric, LabelForm::Human).is_some());
        assert!(read(1, "").unwrap_err().contains("give it a higher `version`"));
        assert!(read(2, "usr = 1\n").unwrap_err().contains("did you mean `user`"));
    }
}
