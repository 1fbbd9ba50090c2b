//! Weights, gradients and optimizer state of a model on the GPU, each one flat buffer.
//!
//! A master weight is its bf16, which the products read, and the 16 bits below it; nothing of an f32 is lost on the way in or out.

use tensor::cuda::ops::{optimizer, values};
use tensor::cuda::{Arena, Gpu, MemoryPlan, Purpose, Region, Stream, View, ViewMut, bf16};

use super::layout::{FlatLayout, Span};
use crate::{Error, Init, ParamSpec, Result};

/// Values that travel between host and GPU at a time (64 MiB of f32).
const STAGED: usize = 16 << 20;

/// What an advice can say where the states alone do not fit.
const ADVICE: &str = "16 bytes a parameter are needed before any activation, 12 with moments in bf16: use those, a smaller model or a larger \
                      card";

/// Flat buffers of one model.
pub struct Weights {
    arena: Arena,
    plan: MemoryPlan,
    pub(super) layout: FlatLayout,
    weight: Region<bf16>,
    low_bits: Region<u16>,
    grad: Region<f32>,
    moments: MomentRegions,
    /// Sums of losses: of the step, and of a pass without gradients.
    losses: Region<f64>,
}

/// Both moments.
#[derive(Clone, Copy)]
enum MomentRegions {
    F32([Region<f32>; 2]),
    Bf16([Region<bf16>; 2]),
}

/// One state, as it is kept.
enum StateRegion {
    F32(Region<f32>),
    Bf16(Region<bf16>),
}

/// One of the states beside the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Sums of gradients since the last update.
    Gradient,
    /// Running means of gradients.
    Moment1,
    /// Running means of squared gradients.
    Moment2,
}

impl Weights {
    /// Takes the memory; everything is zero.
    ///
    /// # Errors
    /// [`Error::Gpu`] if it does not fit, with the plan.
    pub(super) fn new(gpu: &Gpu, stream: &Stream, layout: FlatLayout, bf16_moments: bool) -> Result<Self> {
        let (mut plan, len) = (MemoryPlan::default(), layout.len());
        let weight = plan.region(Purpose::Parameters, len)?;
        let low_bits = plan.region(Purpose::OptimizerState, len)?;
        let grad = plan.region(Purpose::Gradients, len)?;
        let states = Purpose::OptimizerState;
        let moments = match bf16_moments {
            false => MomentRegions::F32([plan.region(states, len)?, plan.region(states, len)?]),
            true => MomentRegions::Bf16([plan.region(states, len)?, plan.region(states, len)?]),
        };
        let losses = plan.region(Purpose::Workspace, 2)?;
        let arena = plan.allocate(gpu, ADVICE)?;
        stream.clear(arena.view_mut(weight)?)?;
        stream.clear(arena.view_mut(low_bits)?)?;
        stream.clear(arena.view_mut(losses)?)?;
        stream.clear(arena.view_mut(grad)?)?;
        match moments {
            MomentRegions::F32(both) => both.into_iter().try_for_each(|m| stream.clear(arena.view_mut(m)?))?,
            MomentRegions::Bf16(both) => both.into_iter().try_for_each(|m| stream.clear(arena.view_mut(m)?))?,
        }
        Ok(Self { arena, plan, layout, weight, low_bits, grad, moments, losses })
    }

    /// What was taken for what.
    pub fn plan(&self) -> &MemoryPlan {
        &self.plan
    }

    pub(super) fn weight(&self, span: Span) -> Result<View<'_, bf16>> {
        Ok(self.arena.view(self.weight)?.part(span.start, span.len)?)
    }

    pub(super) fn grad(&self, span: Span) -> Result<ViewMut<'_, f32>> {
        Ok(self.arena.view_mut(self.grad)?.part(span.start, span.len)?)
    }

    /// Where a sum of losses goes: 0 of the step, 1 of a pass without gradients.
    pub(super) fn loss(&self, which: usize) -> Result<ViewMut<'_, f64>> {
        Ok(self.arena.view_mut(self.losses)?.part(which, 1)?)
    }

    pub(super) fn read_loss(&self, stream: &Stream, which: usize) -> Result<f64> {
        Ok(stream.read(self.loss(which)?.as_view())?.first().copied().unwrap_or(f64::NAN))
    }

    /// All buffers, for the update.
    pub(super) fn flat(&self) -> Result<optimizer::Flat<'_>> {
        Ok(optimizer::Flat {
            weight: self.arena.view_mut(self.weight)?,
            low_bits: self.arena.view_mut(self.low_bits)?,
            grad: self.arena.view_mut(self.grad)?,
            moments: match self.moments {
                MomentRegions::F32([m, v]) => {
                    optimizer::Moments::F32([self.arena.view_mut(m)?, self.arena.view_mut(v)?])
                }
                MomentRegions::Bf16([m, v]) => {
                    optimizer::Moments::Bf16([self.arena.view_mut(m)?, self.arena.view_mut(v)?])
                }
            },
        })
    }

    /// The region of a state, in f32 or (moments only) in bf16.
    fn state(&self, state: State) -> StateRegion {
        let which = usize::from(state == State::Moment2);
        match (state, self.moments) {
            (State::Gradient, _) => StateRegion::F32(self.grad),
            (_, MomentRegions::F32(both)) => StateRegion::F32(both[which]),
            (_, MomentRegions::Bf16(both)) => StateRegion::Bf16(both[which]),
        }
    }

    /// Sets parameter `index` of the table to these values, exactly; waits for the copy.
    ///
    /// # Errors
    /// [`Error::Internal`] if there are not as many as the parameter has, [`Error::Gpu`].
    pub fn write(&self, gpu: &Gpu, stream: &Stream, index: usize, values: &[f32]) -> Result<()> {
        let (start, count) = self.place(index, values.len())?;
        let mut staging = gpu.unset::<f32>(STAGED.min(count.next_multiple_of(8)), "staging of weights")?;
        for at in (0..count).step_by(STAGED) {
            let own = &values[at..count.min(at + STAGED)];
            let padded = own.len().next_multiple_of(8);
            if padded > own.len() {
                stream.clear(staging.view_mut().part(0, padded)?)?;
            }
            stream.write(staging.view_mut().part(0, own.len())?, own)?;
            let (weight, low) = (self.arena.view_mut(self.weight)?, self.arena.view_mut(self.low_bits)?);
            let (weight, low) = (weight.part(start + at, padded)?, low.part(start + at, padded)?);
            optimizer::split_master(gpu, stream, staging.view().part(0, padded)?, weight, low)?;
        }
        stream.synchronize()?;
        Ok(())
    }

    /// The exact f32 values of parameter `index`; waits for them.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn read(&self, gpu: &Gpu, stream: &Stream, index: usize) -> Result<Vec<f32>> {
        let (start, count) = self.place_of(index)?;
        let mut staging = gpu.unset::<f32>(STAGED.min(count.next_multiple_of(8)), "staging of weights")?;
        let mut all = Vec::with_capacity(count);
        for at in (0..count).step_by(STAGED) {
            let own = STAGED.min(count - at);
            let padded = own.next_multiple_of(8);
            let weight = self.arena.view(self.weight)?.part(start + at, padded)?;
            let low = self.arena.view(self.low_bits)?.part(start + at, padded)?;
            optimizer::join_master(gpu, stream, weight, low, staging.view_mut().part(0, padded)?)?;
            all.extend(stream.read(staging.view().part(0, own)?)?);
        }
        Ok(all)
    }

    /// The values of a state of parameter `index`; waits for them.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn read_state(&self, stream: &Stream, state: State, index: usize) -> Result<Vec<f32>> {
        let (start, count) = self.place_of(index)?;
        match self.state(state) {
            StateRegion::F32(wide) => Ok(stream.read(self.arena.view(wide)?.part(start, count)?)?),
            StateRegion::Bf16(narrow) => {
                let values = stream.read(self.arena.view(narrow)?.part(start, count)?)?;
                Ok(values.into_iter().map(bf16::to_f32).collect())
            }
        }
    }

    /// Sets a state of parameter `index`, exactly if it is kept in f32 or came from one that is not; waits for the copy.
    ///
    /// # Errors
    /// As [`Weights::write`].
    pub fn write_state(&self, stream: &Stream, state: State, index: usize, values: &[f32]) -> Result<()> {
        let (start, count) = self.place(index, values.len())?;
        match self.state(state) {
            StateRegion::F32(wide) => Ok(stream.write(self.arena.view_mut(wide)?.part(start, count)?, values)?),
            StateRegion::Bf16(narrow) => {
                let values: Vec<bf16> = values.iter().map(|v| bf16::from_f32(*v)).collect();
                Ok(stream.write(self.arena.view_mut(narrow)?.part(start, count)?, &values)?)
            }
        }
    }

    /// Random weights made on the GPU: normal with `deviation`, norms one, biases zero, all of them bf16 values.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn fill_random(
        &self,
        gpu: &Gpu,
        stream: &Stream,
        specs: &[ParamSpec],
        seed: u64,
        deviation: f32,
    ) -> Result<()> {
        stream.clear(self.arena.view_mut(self.weight)?)?;
        stream.clear(self.arena.view_mut(self.low_bits)?)?;
        for (i, (spec, place)) in specs.iter().zip(self.layout.places()).enumerate() {
            let part = |len: usize| -> Result<ViewMut<'_, bf16>> {
                Ok(self.arena.view_mut(self.weight)?.part(place.span.start, len)?)
            };
            // Whole vectors only; padding and an odd tail stay zero.
            let len = place.count / 8 * 8;
            match spec.init {
                Init::Zeros => {}
                Init::Ones => values::fill_value(gpu, stream, part(len)?, 1.0)?,
                Init::Normal => {
                    let own = seed.wrapping_mul(0x9e37_79b9).wrapping_add(i as u64);
                    values::fill_normal(gpu, stream, part(len)?, own, deviation)?;
                }
            }
        }
        Ok(())
    }

    /// Sets the gradients of a range of parameters to zero.
    pub(super) fn clear_grads(&self, stream: &Stream, first: usize, last: usize) -> Result<()> {
        let (a, b) = (self.layout.places()[first].span, self.layout.places()[last].span);
        Ok(stream.clear(self.grad(Span { start: a.start, len: b.start + b.len - a.start })?)?)
    }

    fn place_of(&self, index: usize) -> Result<(usize, usize)> {
        let place = self.layout.places().get(index).ok_or_else(|| Error::internal("no such parameter"))?;
        Ok((place.span.start, place.count))
    }

    fn place(&self, index: usize, values: usize) -> Result<(usize, usize)> {
        let (start, count) = self.place_of(index)?;
        if values == count {
            return Ok((start, count));
        }
        Err(Error::Internal(format!("{values} values for parameter {index} of {count}")))
    }
}
