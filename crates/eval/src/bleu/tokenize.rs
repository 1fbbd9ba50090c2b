//! The tokenisers of sacrebleu 2.6: what a word is decides the score as much as the caption does.
//!
//! Each is a chain of substitutions over pairs of characters in the reference. A substitution consumes what it matches,
//! so of `..` only the first dot can be taken as "a dot after a character"; the loops here do the same.

use std::borrow::Cow;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// How a text becomes words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokenize {
    /// Of mteval-v13a: the default.
    V13a,
    /// Of mteval-v14: punctuation and symbols of all scripts.
    Intl,
    /// Chinese characters one by one, the rest as 13a.
    Zh,
    /// Every character is a word.
    Char,
    /// Words are what white space separates.
    None,
}

impl Tokenize {
    /// All of them, by the names of sacrebleu.
    pub const ALL: [(&str, Self); 5] =
        [("13a", Self::V13a), ("intl", Self::Intl), ("zh", Self::Zh), ("char", Self::Char), ("none", Self::None)];

    /// The name in a signature.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, tokenize)| *tokenize == self).map_or("", |(name, _)| name)
    }

    /// The tokeniser of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, tokenize)| *tokenize)
    }

    /// The text with white space between words.
    pub fn spaced(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::V13a => Cow::Owned(v13a(text)),
            Self::Intl => Cow::Owned(intl(text)),
            Self::Zh => Cow::Owned(western(&space_chinese(text.trim_matches(is_space)))),
            Self::Char => Cow::Owned(text.chars().flat_map(|c| [c, ' ']).collect()),
            Self::None => Cow::Borrowed(text),
        }
    }
}

/// White space as Python's `str.split` understands it: Unicode's, and four control characters.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// What white space separates.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

fn v13a(text: &str) -> String {
    let mut line = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if line.contains('&') {
        line = line.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    }
    western(&format!(" {line} ").chars().collect::<Vec<_>>())
}

/// The part of 13a for Western scripts.
fn western(line: &[char]) -> String {
    let is_isolated = |c: char| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/');
    let is_stop = |c: char| matches!(c, '.' | ',');
    let line = isolate(line, is_isolated);
    let line = split_pairs(&line, |a, b| !a.is_ascii_digit() && is_stop(b), After);
    let line = split_pairs(&line, |a, b| is_stop(a) && !b.is_ascii_digit(), Before);
    split_pairs(&line, |a, b| a.is_ascii_digit() && b == '-', After).into_iter().collect()
}

fn intl(text: &str) -> String {
    let is_number = |c: char| c.general_category_group() == GeneralCategoryGroup::Number;
    let is_punctuation = |c: char| c.general_category_group() == GeneralCategoryGroup::Punctuation;
    let line: Vec<char> = text.chars().collect();
    let line = split_pairs(&line, |a, b| !is_number(a) && is_punctuation(b), After);
    let line = split_pairs(&line, |a, b| is_punctuation(a) && !is_number(b), Before);
    isolate(&line, |c| c.general_category_group() == GeneralCategoryGroup::Symbol).into_iter().collect()
}

/// Where the second space of a pair goes: `a b ` or ` a b`.
#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}
use Side::{After, Before};

/// Puts a space between the two characters of a pair, and one beside it. Pairs do not overlap; the first one wins.
fn split_pairs(line: &[char], is_pair: impl Fn(char, char) -> bool, side: Side) -> Vec<char> {
    let mut out = Vec::with_capacity(line.len() + line.len() / 4);
    let mut at = 0;
    while let Some(&a) = line.get(at) {
        match (line.get(at + 1), side) {
            (Some(&b), After) if is_pair(a, b) => out.extend([a, ' ', b, ' ']),
            (Some(&b), Before) if is_pair(a, b) => out.extend([' ', a, ' ', b]),
            _ => {
                out.push(a);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    out
}

fn isolate(line: &[char], is_isolated: impl Fn(char) -> bool) -> Vec<char> {
    let mut out = Vec::with_capacity(line.len() + line.len() / 4);
    for &c in line {
        match is_isolated(c) {
            true => out.extend([' ', c, ' ']),
            false => out.push(c),
        }
    }
    out
}

fn space_chinese(text: &str) -> Vec<char> {
    isolate(&text.chars().collect::<Vec<_>>(), is_chinese)
}

/// The reference's table. It means to hold U+20000 to U+2A6D6, but its literals are read with four digits: general
/// punctuation and much else from U+2001 to U+2A6D counts as Chinese, and the extension does not. Kept as it scores.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{2001}'..='\u{2a6d}' | '\u{2e80}'..='\u{2eff}' | '\u{2f00}'..='\u{2fdf}' | '\u{2ff0}'..='\u{2fff}'
        | '\u{3000}'..='\u{303f}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{31c0}'..='\u{31ef}'
        | '\u{3200}'..='\u{33ff}' | '\u{3400}'..='\u{4db5}' | '\u{4e00}'..='\u{9fbb}' | '\u{f900}'..='\u{fa2d}'
        | '\u{fa30}'..='\u{fa6a}' | '\u{fa70}'..='\u{fad9}' | '\u{fe10}'..='\u{fe1f}' | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tokenize: Tokenize, text: &str, expect: &str) {
        assert_eq!(words(&tokenize.spaced(text)).collect::<Vec<_>>().join(" "), expect, "{text:?}");
    }

    #[test]
    fn splits_as_the_reference() {
        let text = "at 8.3s-11.3s; don't stop in the U.S. 1,000 (20%).";
        check(Tokenize::V13a, text, "at 8.3s-11.3s ; don't stop in the U . S . 1,000 ( 20 % ) .");
        check(Tokenize::V13a, "a &lt;b&gt; &quot; x-\ny 5-door", "a < b > \" xy 5 - door");
        check(Tokenize::Intl, "don't pay $1,000.", "don ' t pay $ 1,000.");
        check(Tokenize::Char, "a b\n", "a b");
        check(Tokenize::Zh, "红灯 stop.", "红 灯 stop .");
        check(Tokenize::None, " a.\u{1c}b ", "a. b");
        check(Tokenize::V13a, "", "");
    }
}
