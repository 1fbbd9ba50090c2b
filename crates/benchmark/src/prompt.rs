//! How a question with its choices is put.

use records::BenchmarkItem;
use serde::{Deserialize, Serialize};

/// Form of a request, with its name in records. A changed form is a new name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromptForm {
    /// `(A) Rain`, and a letter is asked for.
    #[default]
    #[serde(rename = "mcq/1")]
    LetterFirst,
    /// `- Rain`, and the words of a choice are asked for: for very small models, which do not learn to find a letter
    /// (docs/log.md, 2026-11-23).
    #[serde(rename = "mcq_words/1")]
    Words,
}

impl PromptForm {
    /// Every form.
    pub const ALL: [Self; 2] = [Self::LetterFirst, Self::Words];

    /// Name and version.
    pub fn name(self) -> &'static str {
        match self {
            Self::LetterFirst => "mcq/1",
            Self::Words => "mcq_words/1",
        }
    }

    /// The text of a request: the question, its choices, and what to answer.
    pub fn render(self, question: &str, options: &[String]) -> String {
        let mut text = format!("{question}\n");
        for (option, place) in options.iter().zip(0..) {
            let letter = BenchmarkItem::letter(place);
            text.push_str(&match self {
                Self::LetterFirst => format!("({letter}) {option}\n"),
                Self::Words => format!("- {option}\n"),
            });
        }
        text + match self {
            Self::LetterFirst => "Answer with the option's letter from the given choices directly.",
            Self::Words => "Answer with the words of one of these choices.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_named_as_in_records() {
        let check = |form: PromptForm, expect: &str| {
            assert_eq!(serde_json::to_string(&form).unwrap(), format!("\"{}\"", form.name()));
            assert_eq!(form.render("How is the sky?", &["Rain".into(), "Clear sky".into()]), expect);
        };
        let [letters, words] = PromptForm::ALL;
        let asks = "Answer with the option's letter from the given choices directly.";
        check(letters, &format!("How is the sky?\n(A) Rain\n(B) Clear sky\n{asks}"));
        check(words, "How is the sky?\n- Rain\n- Clear sky\nAnswer with the words of one of these choices.");
    }
}
