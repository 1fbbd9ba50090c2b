//! The table of answers on which published parsers go wrong, and more of their kind.

use super::*;
use proptest::prelude::*;

fn options() -> Vec<String> {
    ["Red", "Green", "Blue", "Yellow"].map(str::to_owned).to_vec()
}

#[track_caller]
fn check(text: &str, expect: char, rule: &str) {
    let reading = read_answer(text, &options(), false);
    let letter = match reading.verdict {
        Verdict::Choice(place) => char::from(b'A' + place),
        Verdict::None(ItemStatus::ParseError) => '?',
        Verdict::None(ItemStatus::Refused) => 'R',
        Verdict::None(_) => 'F',
    };
    assert_eq!((letter, reading.rule), (expect, rule), "{text:?}: {reading:?}");
}

#[test]
fn patterns_are_valid() {
    assert!(patterns().is_ok(), "{:?}", patterns().err());
}

#[test]
fn the_table() {
    for text in ["B", "**B**", "(B)", "b", "Option B", "\"B\"", "B.", " b) "] {
        check(text, 'B', "bare");
    }
    check("B. Green", 'B', "lead");
    check("Answer: B", 'B', "answer_phrase");
    check("Answer: (b)", 'B', "answer_phrase");
    check("The answer is B", 'B', "answer_phrase");
    check("A pedestrian is crossing, so the answer is B", 'B', "answer_phrase");
    check("The answer is not A but C", 'C', "not_but");
    check("A green light", 'B', "option_text");
    check("I think it is green", 'B', "option_text");
    check("Both cars stop; C", 'C', "trail");
    check(
        "B, because the other vehicles are closer to the crossing and slow down for it earlier than ego does, and no \
         sign asks for anything else than that",
        'B',
        "lead",
    );
    check("<think>A or B?</think> C", 'C', "bare");
    check("I cannot determine the answer.", 'R', "refusal");
    check("[LMMS_EVAL_REQUEST_FAILED after 5 retries] A connection error", 'F', "failure_marker");
    check("[LMMS_EVAL_BUDGET_EXCEEDED]", 'F', "failure_marker");
    check("Failed to obtain answer via API.", 'F', "failure_marker");
}

#[test]
fn forms_for_machines() {
    check("<answer>c</answer>", 'C', "bare");
    check("<think>surely A</think>\n<answer>\n(D) Yellow\n</answer> A", 'D', "lead");
    check("{\"answer\": \"B\"}", 'B', "json");
    check("```json\n{\"reason\": \"A red light\", \"answer\": \"C. Blue\"}\n```", 'C', "json");
    check("so \\boxed{B}", 'B', "boxed");
    check("$\\boxed{\\text{(C) Blue}}$", 'C', "boxed");
    check("{\"answer\": \"maybe\"}", '?', "no_choice");
}

#[test]
fn prose() {
    check("(B) Green", 'B', "lead");
    check("B Green", 'B', "lead_text");
    check("b) green", 'B', "lead");
    check("Option C: the blue one", 'C', "lead");
    check("**Answer:** B", 'B', "answer_phrase");
    check("The correct option is **(B) Green**.", 'B', "option_is");
    check("I would choose option D here", 'D', "choose");
    check("The answer is a green light", 'B', "option_text");
    check("Answer: A green light", 'B', "option_text");
    check("Answer: A Red", 'A', "answer_phrase");
    check("The answer is A because it is red", 'A', "answer_phrase");
    check("It must be C.", 'C', "trail");
    check("The sign seems to fit option C best of all, I suppose", 'C', "mention");
    check("答案是B", 'B', "answer_phrase");
    check("La réponse est C.", 'C', "answer_phrase");
    check("A. Red\nB. Green\nC. Blue\nD. Yellow\nAnswer: B", 'B', "answer_phrase");
    check("The answer is A. Wait, no, the answer is B.", 'B', "corrected");
}

#[test]
fn what_is_no_choice() {
    check("The answer is A. The answer is B.", '?', "ambiguous");
    check("The answer is A or B", '?', "two_letters");
    check("A, B and C", '?', "two_letters");
    check("Either red or blue", '?', "two_options");
    check("A pedestrian crosses the road.", '?', "no_choice");
    check("", '?', "empty");
    check("<think>A or B", '?', "reasoning_without_end");
    check("I'm sorry, but I can't help with that green light.", 'R', "refusal");
    check("The light is not green", '?', "no_choice");
    check(&format!("{} green {}", "The car goes on. ".repeat(8), "It is far. ".repeat(8)), '?', "too_long");
}

#[test]
fn an_option_that_says_so_is_no_refusal() {
    let options = ["Yes", "No", "Two", "It cannot be determined"].map(str::to_owned);
    let reading = read_answer("It cannot be determined.", &options, false);
    assert_eq!((reading.verdict, reading.rule), (Verdict::Choice(3), "option_text"));
}

#[test]
fn a_cut_answer_counts_only_if_the_choice_is_there() {
    let verdict = |text: &str| read_answer(text, &options(), true).verdict;
    assert_eq!(verdict("B. Gre"), Verdict::Choice(1));
    assert_eq!(verdict("The light looks green and"), Verdict::None(ItemStatus::Truncated));
    assert_eq!(verdict("<think>It could be A"), Verdict::None(ItemStatus::Truncated));
    assert_eq!(verdict("I see a car; C"), Verdict::None(ItemStatus::Truncated));
}

#[test]
fn letter_and_words_that_disagree_are_noted() {
    let reading = read_answer("A. Green", &options(), false);
    assert_eq!(reading.verdict, Verdict::Choice(0));
    assert!(reading.note.is_some());
    assert_eq!(read_answer("B. Green", &options(), false).note, None);
}

proptest! {
    #[test]
    fn never_panics_and_spans_lie_in_the_text(text in "\\PC{0,80}", truncated: bool) {
        let reading = read_answer(&text, &options(), truncated);
        prop_assert!(text.get(reading.span.clone()).is_some(), "{:?} {:?}", text, reading);
    }

    #[test]
    fn nor_on_texts_of_the_kind(parts in prop::collection::vec(prop::sample::select(vec![
        "A", "b", "C.", "(D)", "the answer is", "not", "but", "<think>", "</think>", "<answer>", "</answer>", "option",
        "é", "答案", "green", "\n", " ", ":", "{\"answer\":", "\"B\"", "\\boxed{", "I cannot tell", "wait, no", "or", "**",
    ]), 0..12), truncated: bool) {
        let text = parts.concat();
        let reading = read_answer(&text, &options(), truncated);
        prop_assert!(text.get(reading.span.clone()).is_some(), "{:?} {:?}", text, reading);
        let failed = read_answer(&format!("[LMMS_EVAL_REQUEST_FAILED] {text}"), &options(), truncated);
        prop_assert_eq!(failed.verdict, Verdict::None(ItemStatus::Failed));
    }
}
