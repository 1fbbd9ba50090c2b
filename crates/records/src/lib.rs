//! On-disk contracts of Roadscribe: samples, predictions, manifests, JSONL.
