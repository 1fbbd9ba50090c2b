//! Where memory lives and ops run.

/// A device that holds tensors and runs ops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// Host memory; ops run on the rayon pool of the process.
    #[default]
    Cpu,
}
