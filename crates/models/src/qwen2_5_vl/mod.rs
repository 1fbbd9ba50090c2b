//! Qwen2.5-VL and Cosmos-Reason1: the tensor names and the layers they belong to.

mod names;

pub(crate) use names::build_vision;
