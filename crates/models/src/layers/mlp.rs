//! The two kinds of MLP: GELU between two linear layers, and SwiGLU.

use super::Linear;
use crate::{Grads, Params, Result};
use tensor::{
    Tensor,
    ops::{elementwise, gelu, swiglu},
};

/// A position-wise MLP.
#[derive(Clone, Debug)]
pub enum Mlp {
    /// `fc2(gelu(fc1(x)))`.
    Gelu {
        /// `C` to `F`.
        fc1: Linear,
        /// `F` to `C`.
        fc2: Linear,
        /// Which GELU.
        kind: gelu::Kind,
    },
    /// `down(silu(gate(x)) * up(x))`.
    SwiGlu {
        /// `C` to `F`.
        gate: Linear,
        /// `C` to `F`.
        up: Linear,
        /// `F` to `C`.
        down: Linear,
    },
}

/// What the backward of an [`Mlp`] needs beside its input.
#[derive(Clone, Debug)]
pub enum MlpSaved {
    /// Before and after the activation.
    Gelu {
        /// `(N, F)`.
        pre_nf: Tensor,
        /// `(N, F)`.
        act_nf: Tensor,
    },
    /// Both branches and their product.
    SwiGlu {
        /// `(N, F)`.
        gate_nf: Tensor,
        /// `(N, F)`.
        up_nf: Tensor,
        /// `(N, F)`.
        act_nf: Tensor,
    },
}

impl Mlp {
    /// `(N, C)` to `(N, C')`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn forward(&self, params: &Params, x_nc: &Tensor) -> Result<(Tensor, MlpSaved)> {
        match self {
            Mlp::Gelu { fc1, fc2, kind } => {
                let pre_nf = fc1.forward(params, x_nc)?;
                let act_nf = gelu::forward(&pre_nf, *kind)?;
                Ok((fc2.forward(params, &act_nf)?, MlpSaved::Gelu { pre_nf, act_nf }))
            }
            Mlp::SwiGlu { gate, up, down } => {
                let gate_nf = gate.forward(params, x_nc)?;
                let up_nf = up.forward(params, x_nc)?;
                let act_nf = swiglu::forward(&gate_nf, &up_nf)?;
                Ok((down.forward(params, &act_nf)?, MlpSaved::SwiGlu { gate_nf, up_nf, act_nf }))
            }
        }
    }

    /// Adds the gradients of the parameters and returns that of the input.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if shapes do not fit.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        x_nc: &Tensor,
        saved: &MlpSaved,
        dy_nc: &Tensor,
    ) -> Result<Tensor> {
        match (self, saved) {
            (Mlp::Gelu { fc1, fc2, kind }, MlpSaved::Gelu { pre_nf, act_nf }) => {
                let d_act = fc2.backward(params, grads, act_nf, dy_nc)?;
                let d_pre = gelu::backward(&d_act, pre_nf, *kind)?;
                fc1.backward(params, grads, x_nc, &d_pre)
            }
            (Mlp::SwiGlu { gate, up, down }, MlpSaved::SwiGlu { gate_nf, up_nf, act_nf }) => {
                let d_act = down.backward(params, grads, act_nf, dy_nc)?;
                let (d_gate, d_up) = swiglu::backward(&d_act, gate_nf, up_nf)?;
                let mut dx = gate.backward(params, grads, x_nc, &d_gate)?;
                elementwise::add_assign(&mut dx, &up.backward(params, grads, x_nc, &d_up)?)?;
                Ok(dx)
            }
            _ => Err(crate::Error::internal("an MLP met what another kind of MLP saved")),
        }
    }
}
