//! Types of questions, by a rule that is published: the set has no such column.

/// Version of the rule.
pub const QUESTION_TYPES_VERSION: &str = "lingoqa-types-1";

/// All types, in the order of tables.
pub(super) const TYPES: [&str; 8] = ["yes/no", "what", "how many", "how", "why", "which", "where/who/when", "other"];

/// The type of a question by its first words, letters of either case:
/// a form of be, do, have or a modal verb first is `yes/no`; then `how many` and `how much`; else the question word.
pub fn question_type(question: &str) -> &'static str {
    let lower = question.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (first, second) {
        ("how", "many" | "much") => "how many",
        ("how", _) => "how",
        ("what" | "what's", _) => "what",
        ("why", _) => "why",
        ("which", _) => "which",
        ("where" | "who" | "whose" | "when", _) => "where/who/when",
        _ if is_auxiliary(first) => "yes/no",
        _ => "other",
    }
}

fn is_auxiliary(word: &str) -> bool {
    let stem = word.strip_suffix("n't").unwrap_or(word);
    [
        "is", "are", "am", "was", "were", "do", "does", "did", "has", "have", "had", "can", "could", "should", "would",
        "will", "may", "might", "must", "shall",
    ]
    .contains(&stem)
}
