//! LLaVA's way to write media into text: `<video>` and `<image>` tags.

use crate::Part;

/// Parts of one LLaVA turn: its media first, in order of their tags, then the text without the tags
/// (as cosmos-reason2's `llava_sft.py` does). `next_media` counts tags over the dialogue.
pub(crate) fn content(text: &str, next_media: &mut usize) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut words = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, tag)) = first_tag(rest) {
        words.push_str(&rest[..at]);
        rest = rest[at + tag.len()..].trim_start_matches('\n');
        parts.push(Part::Media(*next_media));
        *next_media += 1;
    }
    words.push_str(rest);
    let words = if parts.is_empty() { words.as_str() } else { words.trim_matches('\n') };
    parts.push(Part::Text(words.to_owned()));
    parts
}

fn first_tag(text: &str) -> Option<(usize, &'static str)> {
    ["<video>", "<image>"].into_iter().filter_map(|tag| text.find(tag).map(|at| (at, tag))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_media() {
        let check = |text: &str, media: usize, words: &str| {
            let mut next = 0;
            let parts = content(text, &mut next);
            assert_eq!(next, media);
            let mut expected: Vec<Part> = (0..media).map(Part::Media).collect();
            expected.push(Part::Text(words.to_owned()));
            assert_eq!(parts, expected, "{text:?}");
        };
        check("What is ahead?\n", 0, "What is ahead?\n");
        check("<video>\nWhat is ahead?", 1, "What is ahead?");
        check("<video><image>\nCompare.", 2, "Compare.");
        check("Look: <video>\nWell?\n<video>", 2, "Look: Well?");
    }
}
