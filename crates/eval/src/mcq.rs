//! Multiple choice: one parser with a version, whose every decision is kept, and the table of the recipe.

mod baselines;
mod parser;
mod score;
mod text;

pub use parser::{PARSER_VERSION, Reading, Verdict, read_answer};
pub use score::{McqInput, score, table};

#[cfg(test)]
mod tests;
