//! What it takes to ask a chat model: messages, answers, one trait.

#![forbid(unsafe_code)]
