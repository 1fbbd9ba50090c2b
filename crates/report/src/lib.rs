//! Figures and the page of a run.

#![forbid(unsafe_code)]
