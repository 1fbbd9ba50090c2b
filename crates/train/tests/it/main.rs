//! Whole runs of a tiny model: resume, micro-batching, bad clips, refusals.

#[cfg(test)]
mod place;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod runs;
