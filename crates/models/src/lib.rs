//! Qwen3-VL, Qwen2.5-VL and DeBERTa-v2 with explicit forward and backward.
