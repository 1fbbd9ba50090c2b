//! Words of captions: normal form, phrases, shingles, boilerplate, special tokens.

use std::collections::HashSet;

/// Words in lower case without punctuation.
pub(crate) fn words(text: &str) -> Vec<String> {
    let folded = text.to_lowercase();
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Where a phrase, in lower case with single spaces, occurs among words.
fn places<'w>(words: &'w [String], phrase: &'w str) -> impl Iterator<Item = usize> + 'w {
    let len = phrase.split(' ').count();
    let is_here = move |window: &[String]| window.iter().map(String::as_str).eq(phrase.split(' '));
    words.windows(len).enumerate().filter(move |(_, window)| is_here(window)).map(|(at, _)| at)
}

/// Whether [`words`] have a phrase, given in lower case with single spaces.
pub(crate) fn contains(words: &[String], phrase: &str) -> bool {
    places(words, phrase).next().is_some()
}

/// As [`contains`], and the four words before do not deny it.
pub(crate) fn says(words: &[String], phrase: &str) -> bool {
    const DENIALS: [&str; 6] = ["no", "not", "without", "never", "nor", "neither"];
    let denied = |at: usize| words[at.saturating_sub(4)..at].iter().any(|word| DENIALS.contains(&word.as_str()));
    places(words, phrase).any(|at| !denied(at))
}

/// 64-bit hash of bytes that is the same on every machine and in every version (FNV-1a, then mixed as in splitmix64).
pub(crate) fn stable_hash(parts: &[String]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    mixed(hash)
}

/// The finaliser of splitmix64.
pub(crate) fn mixed(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hashes of all runs of `n` words, sorted, each once; of the whole text if it is shorter.
pub(crate) fn shingles(text: &str, n: usize) -> Vec<u64> {
    let words = words(text);
    if words.is_empty() {
        return Vec::new();
    }
    let mut hashes: Vec<u64> = words.windows(n.clamp(1, words.len())).map(stable_hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Texts that stand where a description was not written, as [`words`] gives them.
const PLACEHOLDERS: &[&str] = &[
    "n a",
    "na",
    "none",
    "null",
    "nan",
    "nil",
    "unknown",
    "todo",
    "tbd",
    "test",
    "placeholder",
    "no description",
    "no caption",
    "no annotation",
    "description",
    "see above",
    "same as above",
    "as above",
    "ditto",
    "lorem ipsum",
    "not applicable",
    "no comment",
    "nothing to report",
    "insert description here",
    "to be done",
    "to be annotated",
];

/// Beginnings of what a chat model writes instead of a description.
const REFUSALS: &[&str] = &[
    "i m sorry",
    "i am sorry",
    "sorry i",
    "i apologize",
    "as an ai",
    "as a language model",
    "i cannot see the video",
    "i cannot describe",
    "i cannot provide",
    "i cannot assist",
    "i can t assist",
    "i am unable to",
    "i m unable to",
    "lorem ipsum",
    "insert description here",
    "no description",
];

/// Why [`words`] are boilerplate; `None` if they are a description. `extra` phrases come from the configuration.
pub(crate) fn boilerplate(words: &[String], extra: &[String]) -> Option<String> {
    let joined = words.join(" ");
    if PLACEHOLDERS.contains(&joined.as_str()) {
        return Some(format!("{joined:?} is a placeholder"));
    }
    let starts =
        |phrase: &&&str| joined.strip_prefix(**phrase).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    if let Some(phrase) = REFUSALS.iter().find(starts) {
        return Some(format!("begins with {phrase:?}"));
    }
    if let Some(phrase) = extra.iter().find(|phrase| contains(words, &self::words(phrase).join(" "))) {
        return Some(format!("has the phrase {phrase:?} of `boilerplate`"));
    }
    let distinct: HashSet<&String> = words.iter().collect();
    let repeats = words.len() >= 12 && distinct.len() * 5 <= words.len();
    repeats.then(|| format!("{} words, but only {} different ones", words.len(), distinct.len()))
}

/// Number of special tokens, such as `<|im_end|>`, that stand in a text as plain characters.
pub(crate) fn special_tokens(text: &str) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(start) = rest.find("<|") {
        rest = &rest[start + 2..];
        let len = rest.find("|>").unwrap_or(0);
        let named = len > 0 && rest[..len].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        count += usize::from(named);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases() {
        let check = |text: &str, phrase: &str, expect: bool| assert_eq!(says(&words(text), phrase), expect, "{text:?}");
        check("Stops for a Red-Light.", "red light", true);
        check("There is no red light.", "red light", false);
        check("No sign; it goes on and on until the red light.", "red light", true);
        check("A bored lighthouse.", "red light", false);
        check("", "red light", false);
    }

    #[test]
    fn boilerplate_texts() {
        let check = |text: &str, expect: bool| {
            assert_eq!(boilerplate(&words(text), &["stock phrase".into()]).is_some(), expect, "{text:?}")
        };
        check("N/A", true);
        check("I'm sorry, but I cannot see the video.", true);
        check("I cannot pass because a truck is parked.", false);
        check("A stock phrase of the tool.", true);
        check(&"drive ".repeat(20), true);
        check("I drive along a street and stop at a sign.", false);
        check("None of the cars moves.", false);
    }

    #[test]
    fn specials_are_counted() {
        let check = |text: &str, expect: usize| assert_eq!(special_tokens(text), expect, "{text:?}");
        check("a <|im_end|> b <|video_pad|><|video_pad|>", 3);
        check("a <| b |> <|x", 0);
        check("<|<|im_end|>", 1);
    }

    #[test]
    fn shingles_ignore_case_and_punctuation() {
        assert_eq!(shingles("A car, stops.", 2), shingles("a CAR stops", 2));
        assert_eq!(shingles("a b c d", 3).len(), 2);
        assert_eq!(shingles("a", 3).len(), 1);
        assert!(shingles("...", 3).is_empty());
    }
}
