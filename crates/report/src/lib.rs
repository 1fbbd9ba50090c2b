//! Figures and the page of a run.

#![forbid(unsafe_code)]

mod conclude;
mod curve;
mod error;
mod examples;
mod figure;
mod page;
mod plot;
mod png;
mod run;
mod scores;
mod series;
mod svg;
mod tables;

pub use error::{Error, Result};
pub use figure::{category_figure, line_figure, small_figure};
pub use page::{PageOptions, Written, write_report};
pub use plot::{Figure, plot};
pub use png::{png_of_rgb, png_of_svg};
pub use scores::{Found, find_scores};
pub use series::{Metric, Point, Series};
