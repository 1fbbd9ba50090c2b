//! What the passes over both towers share: views of regions, products with their gradients, norms.

use tensor::cuda::ops::norm::{self, LayerStats, NormGradients, Residual};
use tensor::cuda::ops::{activation, reduce};
use tensor::cuda::{Arena, BackwardEpilogue, Element, Epilogue, Gemm, Gpu, Region, Stream, View, ViewMut, bf16};
use tensor::ops::gelu;

use super::batch::DeviceBatch;
use super::layers::{Layers, Linear, Norm};
use super::layout::Span;
use super::regions::Regions;
use super::weights::Weights;
use crate::config::VlmConfig;
use crate::{Error, Result};

/// One pass over a micro-batch.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub gpu: &'a Gpu,
    pub stream: &'a Stream,
    pub gemm: &'a Gemm,
    pub config: &'a VlmConfig,
    pub layers: &'a Layers,
    pub weights: &'a Weights,
    pub arena: &'a Arena,
    pub regions: &'a Regions,
    pub batch: &'a DeviceBatch,
    /// Whether gradients of matrices are added to; else they are overwritten.
    pub accumulate: bool,
    /// Whether a GELU may run inside the product before it. It then works on sums that were not rounded, so that what a block keeps
    /// changes the last bits.
    pub fused_gelu: bool,
}

/// A GELU that follows a product of forward: which, and where the values before it go.
pub(super) struct GeluAfter {
    pub kind: gelu::Kind,
    pub before: Region<bf16>,
}

impl<'a> Pass<'a> {
    pub fn get<T: Element>(&self, region: Region<T>) -> Result<View<'a, T>> {
        Ok(self.arena.view(region)?)
    }

    pub fn put<T: Element>(&self, region: Region<T>) -> Result<ViewMut<'a, T>> {
        Ok(self.arena.view_mut(region)?)
    }

    pub fn weight(&self, span: Span) -> Result<View<'a, bf16>> {
        self.weights.weight(span)
    }

    pub fn grad(&self, span: Span) -> Result<ViewMut<'a, f32>> {
        self.weights.grad(span)
    }

    pub fn scratch(&self) -> Result<ViewMut<'a, f32>> {
        self.put(self.regions.scratch)
    }

    pub fn workspace(&self) -> Result<ViewMut<'a, u8>> {
        self.put(self.regions.workspace)
    }

    /// `y = x W^T + b`, then a GELU if one follows; rows follow from the sizes.
    pub fn linear(
        &self,
        linear: Linear,
        x: Region<bf16>,
        y: Region<bf16>,
        gelu_after: Option<GeluAfter>,
    ) -> Result<()> {
        let dims = [y.len() / linear.output, linear.input, linear.output];
        let (x, weight) = (self.get(x)?, self.weight(linear.weight)?);
        let bias = linear.bias.map(|span| self.weight(span)).transpose()?;
        let run = |epilogue, to| self.gemm.forward(self.stream, dims, x, weight, epilogue, to);
        match (bias, gelu_after) {
            (None, None) => run(Epilogue::None, self.put(y)?)?,
            (Some(bias), None) => run(Epilogue::Bias(bias), self.put(y)?)?,
            (Some(bias), Some(GeluAfter { kind: gelu::Kind::Tanh, before })) if self.fused_gelu => {
                run(Epilogue::BiasGelu(bias, self.put(before)?), self.put(y)?)?;
            }
            (Some(bias), Some(GeluAfter { kind, before })) => {
                run(Epilogue::Bias(bias), self.put(before)?)?;
                activation::gelu_forward(self.gpu, self.stream, self.get(before)?, self.put(y)?, kind)?;
            }
            (None, Some(_)) => return Err(Error::internal("a GELU behind a product without a bias")),
        }
        Ok(())
    }

    /// Gradients of weight and bias: `dW (+)= dy^T x`, `db += sum dy`.
    pub fn linear_weight_back(&self, linear: Linear, dy: Region<bf16>, x: Region<bf16>) -> Result<()> {
        let dims = [dy.len() / linear.output, linear.input, linear.output];
        let d_weight = self.grad(linear.weight)?;
        self.gemm.backward_weight(self.stream, dims, self.get(dy)?, self.get(x)?, d_weight, self.accumulate, None)?;
        if let Some(bias) = linear.bias {
            reduce::bias_gradient(self.gpu, self.stream, self.get(dy)?, self.grad(bias)?, self.scratch()?)?;
        }
        Ok(())
    }

    /// `dx = dy W`, then back through a GELU whose input was `before`.
    pub fn linear_input_back(
        &self,
        linear: Linear,
        dy: Region<bf16>,
        dx: ViewMut<'a, bf16>,
        gelu_before: Option<GeluAfter>,
    ) -> Result<()> {
        let dims = [dy.len() / linear.output, linear.input, linear.output];
        let (dy, weight) = (self.get(dy)?, self.weight(linear.weight)?);
        let mut dx = dx;
        let epilogue = match &gelu_before {
            Some(GeluAfter { kind: gelu::Kind::Tanh, before }) => BackwardEpilogue::Gelu(self.get(*before)?),
            _ => BackwardEpilogue::None,
        };
        self.gemm.backward_input(self.stream, dims, dy, weight, epilogue, dx.reborrow())?;
        if let Some(GeluAfter { kind: kind @ gelu::Kind::Erf, before }) = gelu_before {
            activation::gelu_backward(self.gpu, self.stream, self.get(before)?, dx, kind)?;
        }
        Ok(())
    }

    /// RMSNorm of `x`, or of `x + delta`, which then goes to `sum`.
    pub fn rms(
        &self,
        norm: Norm,
        x: Region<bf16>,
        residual: Option<[Region<bf16>; 2]>,
        y: Region<bf16>,
        inv: Region<f32>,
    ) -> Result<()> {
        let (residual, weight) = (self.residual(residual)?, self.weight(norm.weight)?);
        let (y, inv) = (self.put(y)?, self.put(inv)?);
        Ok(norm::rms_forward(self.gpu, self.stream, self.get(x)?, residual, weight, norm.eps, y, inv)?)
    }

    /// Gradient of [`Pass::rms`] of `s`; goes to `dx`, on top of what is there if `onto`.
    pub fn rms_back(
        &self,
        norm: Norm,
        dy: Region<bf16>,
        s: Region<bf16>,
        inv: Region<f32>,
        dx: Region<bf16>,
        onto: bool,
    ) -> Result<()> {
        let gradients = NormGradients { dx: self.put(dx)?, accumulate: onto, d_weight: self.grad(norm.weight)? };
        let (dy, s, weight, inv) = (self.get(dy)?, self.get(s)?, self.weight(norm.weight)?, self.get(inv)?);
        Ok(norm::rms_backward(self.gpu, self.stream, dy, s, weight, inv, gradients, self.scratch()?)?)
    }

    /// LayerNorm of `x`, or of `x + delta`, which then goes to `sum`.
    pub fn layer(
        &self,
        norm: Norm,
        x: Region<bf16>,
        residual: Option<[Region<bf16>; 2]>,
        y: Region<bf16>,
        stats: [Region<f32>; 2],
    ) -> Result<()> {
        let (residual, weight, bias) = (self.residual(residual)?, self.weight(norm.weight)?, self.norm_bias(norm)?);
        let stats = LayerStats { mean: self.put(stats[0])?, inv_std: self.put(stats[1])? };
        let (x, bias, y) = (self.get(x)?, self.weight(bias)?, self.put(y)?);
        Ok(norm::layer_forward(self.gpu, self.stream, x, residual, weight, bias, norm.eps, y, stats)?)
    }

    /// Gradient of [`Pass::layer`] of `s`; goes to `dx`, on top of what is there if `onto`.
    pub fn layer_back(
        &self,
        norm: Norm,
        dy: Region<bf16>,
        s: Region<bf16>,
        stats: [Region<f32>; 2],
        dx: Region<bf16>,
        onto: bool,
    ) -> Result<()> {
        let gradients = NormGradients { dx: self.put(dx)?, accumulate: onto, d_weight: self.grad(norm.weight)? };
        let (dy, s, weight) = (self.get(dy)?, self.get(s)?, self.weight(norm.weight)?);
        let (stats, bias) = ([self.get(stats[0])?, self.get(stats[1])?], self.grad(self.norm_bias(norm)?)?);
        let scratch = self.scratch()?;
        Ok(norm::layer_backward(self.gpu, self.stream, dy, s, weight, stats, gradients, bias, scratch)?)
    }

    fn residual(&self, residual: Option<[Region<bf16>; 2]>) -> Result<Option<Residual<'a>>> {
        let Some([delta, sum]) = residual else { return Ok(None) };
        Ok(Some(Residual { delta: self.get(delta)?, sum: self.put(sum)? }))
    }

    fn norm_bias(&self, norm: Norm) -> Result<Span> {
        norm.bias.ok_or_else(|| Error::internal("a LayerNorm without a bias"))
    }
}
