//! Scores and their uncertainty: BLEU, multiple choice, LingoQA.

#![forbid(unsafe_code)]

pub mod bleu;
