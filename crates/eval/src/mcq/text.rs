//! Which options a text names by their words.

use std::ops::Range;

/// The options whose text stands in `text` as whole words, each with its last place; one that lies inside a longer
/// one found does not count, nor one that is negated (`not green`).
pub(super) fn named_options(text: &str, options: &[String]) -> Vec<(usize, Range<usize>)> {
    let mut found: Vec<(usize, Range<usize>)> = Vec::new();
    for (place, option) in options.iter().enumerate() {
        if let Some(range) = last_whole_words(text, option.trim().trim_end_matches('.')) {
            found.push((place, range));
        }
    }
    let all = found.clone();
    let inside = |range: &Range<usize>| {
        all.iter().any(|(_, other)| other.len() > range.len() && other.start <= range.start && range.end <= other.end)
    };
    found.retain(|(place, range)| {
        !inside(range) && (!is_negated(text, range.start) || starts_negative(options.get(*place)))
    });
    found
}

fn starts_negative(option: Option<&String>) -> bool {
    option.is_some_and(|option| {
        let first = option.split_whitespace().next().unwrap_or_default().to_lowercase();
        ["no", "not", "none", "never", "nobody", "nothing"].contains(&first.as_str())
    })
}

fn is_negated(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().to_lowercase();
    let mut words = before.split_whitespace().rev();
    let last = words.next().unwrap_or_default();
    let negates = |word: &str| word == "not" || word == "no" || word.ends_with("n't") || word == "never";
    negates(last) || (["a", "an", "the"].contains(&last) && words.next().is_some_and(negates))
}

/// The last place of `needle` in `text`, letters of either case, with no letter or digit beside it.
fn last_whole_words(text: &str, needle: &str) -> Option<Range<usize>> {
    if needle.is_empty() {
        return None;
    }
    let matches_at = |start: usize| -> Option<Range<usize>> {
        let mut rest = text.get(start..)?.char_indices();
        let mut end = start;
        for wanted in needle.chars() {
            let (at, got) = rest.next()?;
            if got != wanted && !got.to_lowercase().eq(wanted.to_lowercase()) {
                return None;
            }
            end = start + at + got.len_utf8();
        }
        let beside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let inner = |c: char| c.is_alphanumeric();
        let before = beside(text.get(..start)?.chars().next_back()) && needle.starts_with(inner);
        let after = beside(text.get(end..)?.chars().next()) && needle.ends_with(inner);
        (!before && !after).then_some(start..end)
    };
    text.char_indices().rev().find_map(|(start, _)| matches_at(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, options: [&str; 3], expect: &[usize]) {
        let options = options.map(str::to_owned);
        let found: Vec<usize> = named_options(text, &options).into_iter().map(|(place, _)| place).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn finds_whole_words_only() {
        check("I think it is Green.", ["Red", "Green", "Blue"], &[1]);
        check("The evergreen tree", ["Red", "Green", "Blue"], &[]);
        check("a red and white sign", ["Red", "Red and white", "White"], &[1]);
        check("It is not red, it is blue", ["Red", "Green", "Blue"], &[2]);
        check("There is no sign", ["No sign", "A stop sign", "sign"], &[0]);
        check("red or blue", ["Red", "Green", "Blue"], &[0, 2]);
        check("", ["", "a", "b"], &[]);
    }
}
