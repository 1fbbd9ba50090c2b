//! Annotations of three sources into a clean, blended, documented training set.

#![forbid(unsafe_code)]
