//! The HF tensor names of DeBERTa-v2 sequence classification, and the layers they belong to.

use super::{DebertaConfig, EncoderLayer, Layers};
use crate::{
    layers::{Linear, Norm},
    params::{Init, ParamTable},
    qwen3_vl::linear,
};

pub(super) fn build(config: &DebertaConfig) -> (ParamTable, Layers) {
    let mut table = ParamTable::default();
    let width = config.hidden_size;
    let word_embeddings =
        table.add("deberta.embeddings.word_embeddings.weight".to_owned(), &[config.vocab_size, width], Init::Normal);
    let embedding_norm = layer_norm(&mut table, "deberta.embeddings.LayerNorm", config);
    let rel_embeddings =
        table.add("deberta.encoder.rel_embeddings.weight".to_owned(), &[2 * config.span(), width], Init::Normal);
    let rel_norm = config.norm_rel_ebd.then(|| layer_norm(&mut table, "deberta.encoder.LayerNorm", config));
    let blocks = (0..config.num_hidden_layers)
        .map(|i| layer(&mut table, &format!("deberta.encoder.layer.{i}"), config))
        .collect();
    let pooler = linear(&mut table, "pooler.dense", width, width, true);
    let classifier = linear(&mut table, "classifier", width, config.num_labels, true);
    (table, Layers { word_embeddings, embedding_norm, rel_embeddings, rel_norm, blocks, pooler, classifier })
}

fn layer_norm(table: &mut ParamTable, name: &str, config: &DebertaConfig) -> Norm {
    let weight = table.add(format!("{name}.weight"), &[config.hidden_size], Init::Ones);
    let bias = table.add(format!("{name}.bias"), &[config.hidden_size], Init::Zeros);
    Norm::Layer { weight, bias, eps: config.layer_norm_eps }
}

fn layer(table: &mut ParamTable, name: &str, config: &DebertaConfig) -> EncoderLayer {
    let (width, ffn) = (config.hidden_size, config.intermediate_size);
    let query = linear(table, &format!("{name}.attention.self.query_proj"), width, width, true);
    let key = linear(table, &format!("{name}.attention.self.key_proj"), width, width, true);
    let value = linear(table, &format!("{name}.attention.self.value_proj"), width, width, true);
    // An unshared projection exists only for a term that is on; for one that is off the value is never read.
    let mut position = |on: bool, leaf: &str, shared: &Linear| match on && !config.share_att_key {
        true => linear(table, &format!("{name}.attention.self.{leaf}"), width, width, true),
        false => shared.clone(),
    };
    let pos_key = position(config.c2p, "pos_key_proj", &key);
    let pos_query = position(config.p2c, "pos_query_proj", &query);
    EncoderLayer {
        query,
        key,
        value,
        pos_key,
        pos_query,
        attention_out: linear(table, &format!("{name}.attention.output.dense"), width, width, true),
        attention_norm: layer_norm(table, &format!("{name}.attention.output.LayerNorm"), config),
        intermediate: linear(table, &format!("{name}.intermediate.dense"), width, ffn, true),
        output: linear(table, &format!("{name}.output.dense"), ffn, width, true),
        output_norm: layer_norm(table, &format!("{name}.output.LayerNorm"), config),
    }
}
