//! Generation with a cache: a prompt at once, or its beginning once and what follows for each question; then token by token.

use super::{Batch, Vlm};
use crate::{
    Error, Result,
    decoder::Tokens,
    layers::{Context, LayerCache},
};
use processor::{PackedInput, VlmInput};
use tensor::{Indices, Segments};

/// Keys and values of one sequence, and where its next token stands.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    capacity: usize,
    len: usize,
    rope_delta: i32,
}

impl KvCache {
    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most tokens it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

/// The beginning of a prompt, up to its last visual token: what several questions about one clip share.
#[derive(Clone, Debug)]
pub struct Prefix {
    ids: Vec<u32>,
    cache: KvCache,
}

impl Prefix {
    /// Tokens held.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it holds no token: a prompt without a clip has no beginning worth sharing.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a prompt over the same clip begins with exactly this.
    pub fn begins(&self, input_ids: &[u32]) -> bool {
        input_ids.starts_with(&self.ids)
    }
}

impl Vlm {
    /// Reads a prompt into a fresh cache with room for `new_tokens_max` more tokens; returns the logits `(V,)` after its
    /// last token.
    ///
    /// # Errors
    /// [`Error::Input`] if the prompt does not fit the model.
    pub fn prefill(&self, input: &VlmInput, new_tokens_max: usize) -> Result<(Vec<f32>, KvCache)> {
        let packed = processor::pack(&[input]);
        let capacity = input.input_ids.len() + new_tokens_max;
        let (hidden, cache) = self.prefill_packed(&packed, capacity, input.rope_delta)?;
        let last = Indices::new(&self.device(), vec![input.input_ids.len() as i32 - 1]);
        Ok((self.decoder.logits(&self.params, &hidden, &last)?.to_vec(), cache))
    }

    /// Reads a prompt up to its last visual token. [`Vlm::prefill_after`] goes on from there, any number of times: the
    /// answer to a question is the same, bit for bit, whether others share the beginning with it or not.
    ///
    /// # Errors
    /// [`Error::Input`] if the prompt does not fit the model.
    pub fn prefill_prefix(&self, input: &VlmInput) -> Result<Prefix> {
        let is_visual = |id: &u32| *id == self.config.video_token_id || *id == self.config.image_token_id;
        let len = input.input_ids.iter().rposition(|id| is_visual(id)).map_or(0, |last| last + 1);
        let ids = input.input_ids[..len].to_vec();
        if ids.is_empty() {
            return Ok(Prefix { ids, cache: KvCache { layers: Vec::new(), capacity: 0, len: 0, rope_delta: 0 } });
        }
        let position = |axis: usize| input.position_ids[axis].iter().copied().take(len).collect();
        let packed = PackedInput {
            input_ids: ids.clone(),
            labels: vec![-100; len],
            position_ids: std::array::from_fn(position),
            pixel_values: input.pixel_values.clone(),
            grid_thw: input.grid_thw.clone(),
            cu_seqlens: vec![0, len as u32],
        };
        let (_, cache) = self.prefill_packed(&packed, len, input.rope_delta)?;
        Ok(Prefix { ids, cache })
    }

    /// Reads the rest of a prompt after its beginning, into a cache of its own with room for `new_tokens_max` more
    /// tokens; returns the logits `(V,)` after the last token. The pixels of `input` are not looked at.
    ///
    /// # Errors
    /// [`Error::Input`] if the prompt does not begin with `prefix`, ends with it, or does not fit the model.
    pub fn prefill_after(
        &self,
        prefix: &Prefix,
        input: &VlmInput,
        new_tokens_max: usize,
    ) -> Result<(Vec<f32>, KvCache)> {
        let (start, len) = (prefix.len(), input.input_ids.len());
        if start == 0 {
            return self.prefill(input, new_tokens_max);
        }
        if !prefix.begins(&input.input_ids) || len == start || input.position_ids.iter().any(|axis| axis.len() != len) {
            return Err(Error::input(format!("a prompt of {len} tokens does not go on from its first {start}")));
        }
        let device = self.device();
        let capacity = len + new_tokens_max;
        let layers = prefix.cache.layers.iter().map(|layer| layer.fork(capacity)).collect::<Result<Vec<_>>>()?;
        let mut cache = KvCache { layers, capacity, len, rope_delta: input.rope_delta };
        let tokens =
            Tokens { ids: self.ids(&input.input_ids[start..])?, visual_rows: Indices::new(&device, Vec::new()) };
        let positions = std::array::from_fn(|axis: usize| input.position_ids[axis][start..].to_vec());
        let table = self.decoder.rotary_table(&device, &positions)?;
        let segments = Segments::new(&device, &[0, (len - start) as u32], &[0, len as u32])?;
        let context = Context { table: &table, segments: &segments };
        let hidden = self.decoder.forward(&self.params, &tokens, None, context, Some(&mut cache.layers))?;
        let last = Indices::new(&device, vec![(len - start) as i32 - 1]);
        Ok((self.decoder.logits(&self.params, &hidden, &last)?.to_vec(), cache))
    }

    /// Runs one sequence into a fresh cache; returns its hidden states.
    fn prefill_packed(
        &self,
        packed: &PackedInput,
        capacity: usize,
        rope_delta: i32,
    ) -> Result<(tensor::Tensor, KvCache)> {
        let batch: Batch = self.batch(packed)?;
        let vision = self.see(&batch)?;
        let len = packed.input_ids.len();
        let width = self.config.text.num_key_value_heads * self.config.text.head_dim;
        let device = self.device();
        let layers =
            (0..self.config.text.num_hidden_layers).map(|_| LayerCache::new(&device, capacity, width)).collect();
        let mut cache = KvCache { layers, capacity, len, rope_delta };
        let context = Context { table: &batch.table, segments: &batch.segments };
        let hidden =
            self.decoder.forward(&self.params, &batch.tokens, vision.as_ref(), context, Some(&mut cache.layers))?;
        Ok((hidden, cache))
    }

    /// Appends one token to a cache; returns the logits `(V,)` after it.
    ///
    /// # Errors
    /// [`Error::Input`] if the cache is full or the token unknown.
    pub fn decode(&self, token: u32, cache: &mut KvCache) -> Result<Vec<f32>> {
        if cache.len >= cache.capacity {
            return Err(Error::input(format!("the cache is full at {} tokens", cache.capacity)));
        }
        let device = self.device();
        let position = cache.len as i32 + cache.rope_delta;
        let tokens = Tokens { ids: self.ids(&[token])?, visual_rows: Indices::new(&device, Vec::new()) };
        let table = self.decoder.rotary_table(&device, &std::array::from_fn(|_| vec![position]))?;
        let segments = Segments::new(&device, &[0, 1], &[0, cache.len as u32 + 1])?;
        let context = Context { table: &table, segments: &segments };
        let hidden = self.decoder.forward(&self.params, &tokens, None, context, Some(&mut cache.layers))?;
        cache.len += 1;
        Ok(self.decoder.logits(&self.params, &hidden, &Indices::new(&device, vec![0]))?.to_vec())
    }
}
