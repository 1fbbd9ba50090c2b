//! Scores and their uncertainty: BLEU, multiple choice, LingoQA.

#![forbid(unsafe_code)]

pub mod bleu;
mod compare;
pub mod statistics;

pub use compare::{CandidateComparison, Comparison, Difference, LEVEL, Refused, compare};
