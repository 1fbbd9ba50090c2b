//! AdamW over one flat buffer of all parameters: global norm, clip, guard and update in two passes, without the host.
//!
//! References: [`crate::ops::optimizer`]. A master weight is its bf16 (rounded to nearest) and the 16 bits below it.

use half::bf16;

use super::super::kernel::{Args, Grid};
use super::super::memory::{Buffer, View, ViewMut};
use super::super::{Error, Gpu, Result, Stream};
use super::{Launcher, expect, source};

const OP: &str = "adamw";

/// Values of a chunk at most: four vectors of 8 for each of 256 threads.
const CHUNK: usize = 8192;
/// Blocks that share the sum of squares.
const NORM_BLOCKS: usize = 1056;

/// A parameter in the flat buffers. Starts and counts are multiples of 8 (pad the last values of an odd parameter with zeros).
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// First value.
    pub start: usize,
    /// Values.
    pub count: usize,
    /// Which learning rate and decay it has.
    pub group: u32,
}

/// Learning rate of this step and decay of a group of parameters.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Learning rate.
    pub lr: f32,
    /// Decoupled decay, multiplied by `lr`.
    pub weight_decay: f32,
}

/// What does not change from step to step.
#[derive(Clone, Copy, Debug)]
pub struct AdamWConfig {
    /// First-moment decay.
    pub beta1: f64,
    /// Second-moment decay.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Largest global norm; 0 means no clip.
    pub max_norm: f32,
}

/// State of the update that lives on the GPU.
pub struct AdamW {
    config: AdamWConfig,
    chunks: Buffer<u64>,
    chunk_count: usize,
    /// One past the last value of any segment.
    end: usize,
    groups: Buffer<f32>,
    group_count: usize,
    partial: Buffer<f64>,
    /// Control block: five f32 and three i32.
    control: Buffer<i32>,
}

/// What the last step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Norm of all gradients after `scale`, before the clip.
    pub norm: f32,
    /// Whether the step was skipped because a gradient was not finite.
    pub skipped: bool,
    /// Steps taken so far.
    pub steps: i32,
    /// Steps skipped so far.
    pub skipped_steps: i32,
}

/// Flat buffers of all parameters, of one length.
pub struct Flat<'a> {
    /// Upper halves, which products read.
    pub weight: ViewMut<'a, bf16>,
    /// Lower 16 bits.
    pub low_bits: ViewMut<'a, u16>,
    /// Gradients.
    pub grad: ViewMut<'a, f32>,
    /// Both moments.
    pub moments: Moments<'a>,
}

/// First and second moments.
pub enum Moments<'a> {
    /// Exact.
    F32([ViewMut<'a, f32>; 2]),
    /// Rounded up or down at random, by a fixed function of update and place.
    Bf16([ViewMut<'a, bf16>; 2]),
}

impl Moments<'_> {
    fn lens(&self) -> [usize; 2] {
        match self {
            Self::F32(both) => both.each_ref().map(ViewMut::len),
            Self::Bf16(both) => both.each_ref().map(ViewMut::len),
        }
    }
}

impl AdamW {
    /// For the given parameters; `steps` have been taken before (resume).
    ///
    /// # Errors
    /// [`Error::Argument`] if a segment is not in multiples of 8 or its group does not exist.
    pub fn new(
        gpu: &Gpu,
        stream: &Stream,
        config: AdamWConfig,
        segments: &[Segment],
        groups: usize,
        steps: i32,
    ) -> Result<Self> {
        let mut chunks: Vec<u64> = Vec::new();
        for segment in segments {
            if !segment.start.is_multiple_of(8) || !segment.count.is_multiple_of(8) || segment.group as usize >= groups
            {
                return Err(Error::argument(
                    OP,
                    format!("{segment:?} is not in multiples of 8, or of {groups} groups"),
                ));
            }
            for offset in (0..segment.count).step_by(CHUNK) {
                let count = CHUNK.min(segment.count - offset);
                chunks.extend([(segment.start + offset) as u64, count as u64 | u64::from(segment.group) << 32]);
            }
        }
        let control = [0, 0, 0, 0, 0, steps, 0, 0];
        Ok(Self {
            config,
            chunk_count: chunks.len() / 2,
            end: segments.iter().map(|segment| segment.start + segment.count).max().unwrap_or(0),
            chunks: gpu.upload(stream, &chunks, "optimizer chunks")?,
            groups: gpu.zeros(stream, 2 * groups, "optimizer groups")?,
            group_count: groups,
            partial: gpu.unset(NORM_BLOCKS, "optimizer sums")?,
            control: gpu.upload(stream, &control, "optimizer state")?,
        })
    }

    /// Sets learning rates and decays for the steps from now on; waits for the copy.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are not as many as there are groups.
    pub fn set_groups(&mut self, stream: &Stream, groups: &[Group]) -> Result<()> {
        expect(OP, &[("groups", groups.len(), self.group_count)])?;
        let values: Vec<f32> = groups.iter().flat_map(|group| [group.lr, group.weight_decay]).collect();
        stream.write(self.groups.view_mut(), &values)
    }

    /// One update with gradients times `scale`; clears the gradients if asked to. Non-finite gradients leave everything as it was.
    ///
    /// # Errors
    /// [`Error::Argument`] if the buffers differ in length.
    pub fn step(&mut self, gpu: &Gpu, stream: &Stream, flat: Flat<'_>, scale: f32, clear_grad: bool) -> Result<()> {
        let count = multiple_of_8(flat.weight.len())?;
        if self.end > count {
            return Err(Error::argument(OP, format!("segments reach to {} and the buffers to {count}", self.end)));
        }
        expect(OP, &[("low_bits", flat.low_bits.len(), count), ("grad", flat.grad.len(), count)])?;
        let [first, second] = flat.moments.lens();
        expect(OP, &[("moment1", first, count), ("moment2", second, count)])?;
        let AdamWConfig { beta1, beta2, eps, max_norm } = self.config;
        let launcher = Launcher { gpu, stream, source: source!("optimizer.cu") };
        let squares = Args::new().read(flat.grad.as_view()).write(&self.partial.view_mut()).int(count);
        let decide = Args::new()
            .read(self.partial.view())
            .write(&self.control.view_mut())
            .int(NORM_BLOCKS)
            .float(scale)
            .float(max_norm)
            .double(beta1)
            .double(beta2);
        let update = Args::new().write(&flat.weight).write(&flat.low_bits).write(&flat.grad);
        let (kernel, update) = match &flat.moments {
            Moments::F32([first, second]) => ("adamw", update.write(first).write(second)),
            Moments::Bf16([first, second]) => ("adamw_bf16_moments", update.write(first).write(second)),
        };
        let update = update
            .read(self.chunks.view())
            .read(self.groups.view())
            .read(self.control.view())
            .float((1.0 - beta1) as f32)
            .float(beta2 as f32)
            .float((1.0 - beta2) as f32)
            .float(eps as f32)
            .int(usize::from(clear_grad));
        // SAFETY: the sizes were checked; chunks lie inside the segments, whose end was checked.
        unsafe {
            launcher.launch("squares", Grid::line(NORM_BLOCKS, 512), squares)?;
            launcher.launch("decide", Grid::line(1, 512), decide)?;
            launcher.launch(kernel, Grid::line(self.chunk_count, 256), update)
        }
    }

    /// What the last step did; waits for it.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn report(&self, stream: &Stream) -> Result<StepReport> {
        let control = stream.read(self.control.view())?;
        Ok(StepReport {
            norm: f32::from_bits(control[3] as u32),
            skipped: control[4] != 0,
            steps: control[5],
            skipped_steps: control[6],
        })
    }
}

/// Cuts f32 masters into bf16 weights and lower bits; sizes are multiples of 8.
///
/// # Errors
/// [`Error::Argument`] if sizes differ.
pub fn split_master(
    gpu: &Gpu,
    stream: &Stream,
    master: View<'_, f32>,
    weight: ViewMut<'_, bf16>,
    low_bits: ViewMut<'_, u16>,
) -> Result<()> {
    let count = multiple_of_8(master.len())?;
    expect(OP, &[("weight", weight.len(), count), ("low_bits", low_bits.len(), count)])?;
    let args = Args::new().read(master).write(&weight).write(&low_bits).int(count);
    let grid = Grid::line((count / 8).div_ceil(256), 256);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("optimizer.cu") }.launch("split_master", grid, args) }
}

/// The f32 masters again.
///
/// # Errors
/// [`Error::Argument`] if sizes differ.
pub fn join_master(
    gpu: &Gpu,
    stream: &Stream,
    weight: View<'_, bf16>,
    low_bits: View<'_, u16>,
    master: ViewMut<'_, f32>,
) -> Result<()> {
    let count = multiple_of_8(master.len())?;
    expect(OP, &[("weight", weight.len(), count), ("low_bits", low_bits.len(), count)])?;
    let args = Args::new().read(weight).read(low_bits).write(&master).int(count);
    let grid = Grid::line((count / 8).div_ceil(256), 256);
    // SAFETY: the sizes were checked; the arguments are those of the kernel.
    unsafe { Launcher { gpu, stream, source: source!("optimizer.cu") }.launch("join_master", grid, args) }
}

fn multiple_of_8(count: usize) -> Result<usize> {
    if count.is_multiple_of(8) {
        Ok(count)
    } else {
        Err(Error::argument(OP, format!("{count} values are no multiple of 8")))
    }
}
