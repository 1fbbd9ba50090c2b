//! From an answer in words to a letter, or to the reason why there is none.
//!
//! Rules are anchored: a letter counts where an answer stands, never because it occurs. Whatever finds nothing is a
//! parse error; nothing is drawn at random and no failure is a letter. A change of any rule raises [`PARSER_VERSION`].
//! The rules are listed in docs/eval.md.

use std::ops::Range;
use std::sync::LazyLock;

use records::ItemStatus;
use regex::Regex;

use super::text::named_options;

/// Name and version of the rules, stored beside every decision.
pub const PARSER_VERSION: &str = "roadscribe-mcq-1";

/// What the parser says of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// A choice, or the status of an answer without one.
    pub verdict: Verdict,
    /// Name of the rule that decided.
    pub rule: &'static str,
    /// Bytes of the answer that decided: of the letter, the option's text or the phrase.
    pub span: Range<usize>,
    /// Something to look at: the words name another option than the letter.
    pub note: Option<&'static str>,
}

/// A choice, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Place of the option as shown; 0 is A.
    Choice(u8),
    /// No choice: `ParseError`, `Refused`, `Truncated` or `Failed`.
    None(ItemStatus),
}

/// A letter where an answer stands.
#[derive(Clone, Debug)]
struct Candidate {
    letter: u8,
    span: Range<usize>,
    rule: &'static str,
}

struct Patterns {
    reasoning_end: Regex,
    reasoning_begin: Regex,
    answer_begin: Regex,
    answer_end: Regex,
    bare: Regex,
    json: Regex,
    boxed: Regex,
    phrases: [(&'static str, Regex); 3],
    not_but: Regex,
    lead: Regex,
    lead_follow: Regex,
    listed: Regex,
    trail: Regex,
    mention: Regex,
    also: Regex,
    connective: Regex,
    correction: Regex,
    refusal: Regex,
}

/// Texts that evaluation tools write where a request failed.
const FAILURE_MARKERS: [&str; 4] =
    ["[LMMS_EVAL_REQUEST_FAILED", "[LMMS_EVAL_BUDGET_EXCEEDED", "Failed to obtain answer via API", "[REQUEST_FAILED"];

/// Longest answer, in bytes, that is read by the words of an option; or twice the options together, if that is more.
const OPTION_TEXT_BYTES_MAX: usize = 160;

/// None only if a pattern were not valid, which a test excludes.
static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| patterns().ok());

fn patterns() -> Result<Patterns, regex::Error> {
    let new = Regex::new;
    Ok(Patterns {
        reasoning_end: new(r"(?i)</\s*(?:think|thinking|thought|reasoning|reason)\s*>")?,
        reasoning_begin: new(r"(?i)<\s*(?:think|thinking|thought|reasoning|reason)\s*>")?,
        answer_begin: new(r"(?i)<\s*answer\s*>")?,
        answer_end: new(r"(?i)</\s*answer\s*>")?,
        bare: new(r"^[\W_]*(?:(?i:the\s+)?(?i:option|choice|letter)\s*)?[\W_]*([A-Da-d])[\W_]*$")?,
        json: new(
            r#"(?i)["'](?:final_|correct_)?(?:answer|choice|option|letter)["']\s*:\s*["'](?:option\s+)?\(?([a-d])(?:["').:\s])"#,
        )?,
        boxed: new(r"(?i)\\boxed\s*\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{\s*)?\(?([a-d])(?-u:\b)")?,
        phrases: [
            (
                "answer_phrase",
                new(concat!(
                    r"(?i)(?:(?-u:\b)(?:answers?|r[ée]ponse|respuesta|antwort|resposta|risposta)|答案|回答|答え|정답)",
                    r"(?:\s+(?:is|was|would be|should be|must be|seems to be|est|es|ist|é|è))?(?:应该)?(?:是|为|は|은|는)?",
                    r"[\s\W_]{0,8}?(not\s+)?(?:the\s+)?(?:(?:option|choice|letter)\s+)?[^\w\s]{0,4}([a-d])(?-u:\b)"
                ))?,
            ),
            (
                "option_is",
                new(concat!(
                    r"(?i)(?-u:\b)(?:option|choice|selection|one)\s*(?:is|would be|should be|must be|:|=)",
                    r"[\s\W_]{0,8}?(not\s+)?(?:(?:option|choice|letter)\s+)?[^\w\s]{0,4}([a-d])(?-u:\b)"
                ))?,
            ),
            (
                "choose",
                new(concat!(
                    r"(?i)(?-u:\b)(?:choose|chose|select|pick|(?:go|going)\s+with|opt\s+for)\s+(not\s+)?(?:the\s+)?",
                    r"(?:(?:option|choice|letter|answer)\s+)?[^\w\s]{0,4}([a-d])(?-u:\b)"
                ))?,
            ),
        ],
        not_but: new(concat!(
            r"(?i)(?-u:\b)not\s+(?:option\s+)?[^\w\s]{0,3}[a-d](?-u:\b)[\W_]{0,4}(?:but|rather|instead|it\s+is|it's)\s+",
            r"(?:rather\s+)?(?:option\s+)?[^\w\s]{0,3}([a-d])(?-u:\b)"
        ))?,
        lead: new(r"^[\W_]*(?:(?i:option|choice)\s+)?[^\w\s]{0,3}([A-Da-d])(?-u:\b)")?,
        lead_follow: new(concat!(
            r"^(?:[*_)\]}]*\s*$|[*_)\]}]*(?:[).\]:,;](?:[^\w]|$)|\n|\s+[-–—]+\s)|[*_]*\)|\s*[—–]|",
            r"\s+(?i:because|since|as|due|given|based)(?-u:\b)|\s+(?i:is|seems|looks)\s+(?i:the\s+)?(?i:correct|right|best|most))"
        ))?,
        listed: new(r"(?m)^\s*[^\w\s]{0,2}([A-D])[^\w\s]{0,2}[.):]")?,
        trail: new(concat!(
            r"(?:[;:,.!?\n—–-]|(?-u:\b)(?i:is|so|but|thus|therefore|hence|with|be)(?-u:\b))[\s\x22'*(\[]*",
            r"([A-D])[\s.!\x22'*)\]]*$"
        ))?,
        mention: new(r"(?:(?-u:\b)(?i:option|choice)\s+[^\w\s]{0,2}([A-D])(?-u:\b)|\(([A-D])\))")?,
        also: new(
            r"^[\s)\]*.]*(?:,|/|&|(?-u:\b)(?i:or|and|and/or)(?-u:\b))\s*(?i:option\s+)?[^\w\s]{0,3}([A-D])(?-u:\b)",
        )?,
        connective: new(r"^\s+(?i:because|since|as|due|given|based|is|seems|but|and|or|not|instead|rather)(?-u:\b)")?,
        correction: new(concat!(
            r"(?i)(?-u:\b)(?:wait|actually|correction|sorry|rather|no[,.;:]|i mean|on second thought|",
            r"let me correct|instead)"
        ))?,
        refusal: new(concat!(
            r"(?i)(?:(?-u:\b)(?:cannot|can't|can not|could not|couldn't|unable to|not able to|not possible to|impossible to)",
            r"\s+(?:be\s+|reliably\s+|accurately\s+)?(?:determin|answer|tell|say|see|identif|provide|assist|help|know|comply|infer|view|watch)",
            r"|(?-u:\b)(?:i'm|i am)\s+(?:sorry|afraid)|not enough information|insufficient information|no way to (?:tell|know)",
            r"|(?-u:\b)as an ai|i (?:do not|don't) know|cannot be (?:determined|answered)|i (?:must|have to) decline)"
        ))?,
    })
}

/// Reads one answer. `options` are those shown, in order, up to four; `truncated` says that the token limit cut it.
/// Total: any text gives a reading.
pub fn read_answer(text: &str, options: &[String], truncated: bool) -> Reading {
    if let Some((at, marker)) = FAILURE_MARKERS.iter().find_map(|marker| Some((text.find(marker)?, marker))) {
        return none(ItemStatus::Failed, "failure_marker", at..at + marker.len());
    }
    let Some(p) = PATTERNS.as_ref() else { return none(ItemStatus::ParseError, "patterns", 0..0) };
    let missing = if truncated { ItemStatus::Truncated } else { ItemStatus::ParseError };
    let Some(scope) = scope_of(p, text) else { return none(missing, "reasoning_without_end", 0..text.len()) };
    let answer = text.get(scope.clone()).unwrap_or_default();
    if answer.trim().is_empty() {
        return none(missing, "empty", scope);
    }
    let read = Answer { p, text: answer, options };
    let mut reading = read
        .explicit()
        .or_else(|| read.anchored(truncated))
        .unwrap_or_else(|| if truncated { none(missing, "cut", 0..answer.len()) } else { read.weak() });
    if truncated && reading.verdict == Verdict::None(ItemStatus::ParseError) {
        reading.verdict = Verdict::None(ItemStatus::Truncated);
    }
    reading.span = reading.span.start + scope.start..reading.span.end + scope.start;
    reading
}

fn none(status: ItemStatus, rule: &'static str, span: Range<usize>) -> Reading {
    Reading { verdict: Verdict::None(status), rule, span, note: None }
}

/// The part of a text that is the answer: after the reasoning, inside the answer tags. None if the reasoning never
/// ends.
fn scope_of(p: &Patterns, text: &str) -> Option<Range<usize>> {
    let mut start = p.reasoning_end.find_iter(text).last().map_or(0, |found| found.end());
    let mut end = text.len();
    if let Some(tag) = p.answer_begin.find_iter(text).last().filter(|tag| tag.start() >= start) {
        start = tag.end();
        end = p.answer_end.find_at(text, start).map_or(end, |tag| tag.start());
    } else if let Some(open) = p.reasoning_begin.find_at(text, start) {
        // Reasoning that was begun and not ended: only what stands before it can be the answer.
        end = open.start();
        if text.get(start..end).is_none_or(|before| before.trim().is_empty()) {
            return None;
        }
    }
    Some(start..end)
}

/// An answer without its reasoning.
struct Answer<'a> {
    p: &'a Patterns,
    text: &'a str,
    options: &'a [String],
}

impl Answer<'_> {
    /// Forms made for machines: nothing but a letter, JSON, LaTeX.
    fn explicit(&self) -> Option<Reading> {
        let rules = [("bare", &self.p.bare), ("json", &self.p.json), ("boxed", &self.p.boxed)];
        for (rule, pattern) in rules {
            let found: Vec<Candidate> =
                pattern.captures_iter(self.text).filter_map(|found| candidate(found.get(1), rule)).collect();
            if let Some(reading) = self.agree(found) {
                return Some(reading);
            }
        }
        None
    }

    /// Letters where prose puts an answer: after "the answer is", at the start, at the end.
    fn anchored(&self, truncated: bool) -> Option<Reading> {
        let mut found = Vec::new();
        for (rule, pattern) in &self.p.phrases {
            for captures in pattern.captures_iter(self.text) {
                if captures.get(1).is_none() {
                    found.extend(candidate(captures.get(2), rule).filter(|c| self.is_letter(c)));
                }
            }
        }
        for captures in self.p.not_but.captures_iter(self.text) {
            found.extend(candidate(captures.get(1), "not_but").filter(|c| self.is_letter(c)));
        }
        found.extend(self.lead());
        if !truncated {
            found.extend(self.p.trail.captures(self.text).and_then(|captures| candidate(captures.get(1), "trail")));
        }
        self.agree(found)
    }

    /// A letter at the very start, followed by what ends an answer or by its own option's text.
    fn lead(&self) -> Option<Candidate> {
        let listed: std::collections::BTreeSet<&str> =
            self.p.listed.captures_iter(self.text).filter_map(|found| Some(found.get(1)?.as_str())).collect();
        let lead = candidate(self.p.lead.captures(self.text)?.get(1), "lead").filter(|_| listed.len() < 2)?;
        let after = self.text.get(lead.span.end..)?;
        let lower = self.text.get(lead.span.clone())?.chars().all(|c| c.is_ascii_lowercase());
        if lower {
            let closed = after.starts_with([')', '.', ':']) && after.get(1..)?.chars().next().is_none_or(|c| c == ' ');
            return closed.then_some(lead);
        }
        if self.p.lead_follow.is_match(after) {
            return Some(lead);
        }
        self.is_followed_by_own_text(&lead).then_some(Candidate { rule: "lead_text", ..lead })
    }

    fn is_followed_by_own_text(&self, candidate: &Candidate) -> bool {
        let after = self.text.get(candidate.span.end..).unwrap_or_default().trim_start().to_lowercase();
        let own = self.options.get(usize::from(candidate.letter)).map(|option| option.trim().to_lowercase());
        own.is_some_and(|own| !own.is_empty() && after.starts_with(&own))
    }

    /// Whether a letter after a phrase is one, and not an article or the beginning of a word.
    fn is_letter(&self, candidate: &Candidate) -> bool {
        let after = self.text.get(candidate.span.end..).unwrap_or_default();
        let letter = self.text.get(candidate.span.clone()).unwrap_or_default();
        let mut rest = after.chars();
        let (first, second) = (rest.next(), rest.next());
        let joined = matches!(first, Some('\'' | '’' | '-')) && second.is_some_and(char::is_alphanumeric);
        let word_follows =
            first.is_some_and(|c| c == ' ' || c == '\t') && after.trim_start().starts_with(char::is_alphanumeric);
        let article = letter.eq_ignore_ascii_case("a")
            && word_follows
            && !(letter == "A" && (self.p.connective.is_match(after) || self.is_followed_by_own_text(candidate)));
        !joined && !article
    }

    /// One letter from all candidates; two different ones are an error unless the text takes the first one back.
    fn agree(&self, mut found: Vec<Candidate>) -> Option<Reading> {
        found.sort_by_key(|candidate| candidate.span.start);
        let last = found.last()?.clone();
        let two = |candidate: &Candidate| self.also(candidate).is_some_and(|other| other != candidate.letter);
        if let Some(candidate) = found.iter().find(|candidate| two(candidate)) {
            return Some(none(ItemStatus::ParseError, "two_letters", candidate.span.clone()));
        }
        let first_of_rule = found.iter().find(|candidate| candidate.letter == last.letter).unwrap_or(&last);
        let other = found.iter().rev().find(|candidate| candidate.letter != last.letter);
        let mut reading = self.choice(first_of_rule.letter, first_of_rule.rule, first_of_rule.span.clone());
        if let Some(other) = other {
            let between = self.text.get(other.span.end..last.span.start).unwrap_or_default();
            if last.rule != "not_but" && !self.p.correction.is_match(between) {
                return Some(none(ItemStatus::ParseError, "ambiguous", other.span.start..last.span.end));
            }
            reading = self.choice(last.letter, "corrected", last.span);
        }
        Some(reading)
    }

    /// The second letter of `A or B`, `A, B`.
    fn also(&self, candidate: &Candidate) -> Option<u8> {
        let after = self.text.get(candidate.span.end..)?;
        let second = self.p.also.captures(after)?.get(1)?;
        let start = candidate.span.end + second.start();
        let second = Candidate { letter: letter(second.as_str())?, span: start..start + 1, rule: "" };
        self.is_letter(&second).then_some(second.letter)
    }

    /// What is left when no letter stands where an answer does: one mention, a refusal, the words of one option.
    fn weak(&self) -> Reading {
        let mentions = self.p.mention.captures_iter(self.text);
        let mentions: Vec<Candidate> =
            mentions.filter_map(|found| candidate(found.get(1).or_else(|| found.get(2)), "mention")).collect();
        if let Some(reading) = self.agree(mentions) {
            return reading;
        }
        let named = named_options(self.text, self.options);
        let short = self.options.iter().map(String::len).sum::<usize>().saturating_mul(2).max(OPTION_TEXT_BYTES_MAX);
        let refusal = self.p.refusal.find(self.text);
        let says_so = |range: &Range<usize>| {
            refusal.is_some_and(|refusal| range.start < refusal.end() && refusal.start() < range.end)
        };
        match (named.as_slice(), refusal) {
            ([(place, range)], found) if found.is_none() || says_so(range) => match u8::try_from(*place) {
                Ok(place) if self.text.trim().len() <= short => self.choice(place, "option_text", range.clone()),
                _ => none(ItemStatus::ParseError, "too_long", range.clone()),
            },
            (_, Some(refusal)) => none(ItemStatus::Refused, "refusal", refusal.range()),
            ([(_, first), (_, second), ..], None) => {
                let (start, end) = (first.start.min(second.start), first.end.max(second.end));
                none(ItemStatus::ParseError, "two_options", start..end)
            }
            _ => none(ItemStatus::ParseError, "no_choice", 0..self.text.len()),
        }
    }

    fn choice(&self, place: u8, rule: &'static str, span: Range<usize>) -> Reading {
        let named = named_options(self.text, self.options);
        let differs = matches!(named.as_slice(), [(only, _)] if *only != usize::from(place));
        let note = (differs && rule != "option_text").then_some("the words name another option than the letter");
        Reading { verdict: Verdict::Choice(place), rule, span, note }
    }
}

fn candidate(found: Option<regex::Match<'_>>, rule: &'static str) -> Option<Candidate> {
    let found = found?;
    Some(Candidate { letter: letter(found.as_str())?, span: found.range(), rule })
}

/// Place of a letter: 0 for `A` or `a`.
fn letter(text: &str) -> Option<u8> {
    let byte = text.bytes().next()?.to_ascii_uppercase();
    (b'A'..=b'D').contains(&byte).then(|| byte - b'A')
}

#[cfg(test)]
mod tests;
