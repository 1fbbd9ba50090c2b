//! The parts of a plan that do not change the numbers of training: validation, frame cache, loggers.

use std::path::{Path, PathBuf};

use records::ContentHash;

use super::{DatasetPlan, FrameCachePlan, Logger, ValidationPlan, at_least_one, required};
use crate::sft_toml::{FrameCacheKey, SftToml};
use crate::{Result, Source};

/// Default of `custom.dataset.frame_cache_gb`.
const FRAME_CACHE_GB: f64 = 20.0;
/// Steps between measurements of the validation loss (cosmos-rl).
const VALIDATION_FREQ: u64 = 20;

/// What `[validation]` asks for, with the folders that it finds.
pub(super) fn validation(toml: &SftToml, source: &Source) -> Result<Option<ValidationPlan>> {
    let keys = &toml.validation;
    at_least_one(keys.freq, source, "validation.freq")?;
    at_least_one(keys.batch_size, source, "validation.batch_size")?;
    if keys.enable != Some(true) {
        return Ok(None);
    }
    let data = &toml.custom.dataset;
    let root = PathBuf::from(required(&data.dataset_root, source, "custom.dataset.dataset_root", "data")?);
    let meta_name = data.meta_file.as_deref().unwrap_or("meta.json");
    let meta_of = |name: &String| root.join(name).join(meta_name);
    let key = "custom.dataset.validation_subdirectories";
    let names = match &data.validation_subdirectories {
        Some(names) => match names.iter().find(|name| !meta_of(name).is_file()) {
            None => names.clone(),
            Some(name) => return Err(source.error(key, format!("there is no file {}", meta_of(name).display()))),
        },
        None => {
            let subdirectories = data.subdirectories.clone().unwrap_or_else(|| vec![String::new()]);
            let names = subdirectories.iter().map(|name| match name.as_str() {
                "" => "validation".to_owned(),
                name => format!("validation/{name}"),
            });
            names.filter(|name| meta_of(name).is_file()).collect()
        }
    };
    if names.is_empty() {
        let message = format!(
            "is true, but there is no {} below {}; `roadscribe curate` writes one, or name folders in {key}",
            Path::new("validation/*").join(meta_name).display(),
            root.display()
        );
        return Err(source.error("validation.enable", message));
    }
    let meta_files: Vec<PathBuf> = names.iter().map(meta_of).collect();
    let plan =
        |(name, meta): (String, &PathBuf)| Ok(DatasetPlan { name, weight: None, meta: ContentHash::of_file(meta)? });
    let datasets = names.into_iter().zip(&meta_files).map(plan).collect::<Result<_>>()?;
    let mini_batch = toml.train.train_policy.mini_batch.unwrap_or(2);
    Ok(Some(ValidationPlan {
        freq: keys.freq.unwrap_or(VALIDATION_FREQ),
        before_train: keys.val_before_train.unwrap_or(false),
        batch_size: usize::try_from(keys.batch_size.unwrap_or(mini_batch)).unwrap_or(usize::MAX),
        datasets,
        meta_files,
    }))
}

/// Where decoded frames go.
pub(super) fn frame_cache(toml: &SftToml, source: &Source, output_dir: &Path) -> Result<Option<FrameCachePlan>> {
    let data = &toml.custom.dataset;
    let gigabytes = data.frame_cache_gb.unwrap_or(FRAME_CACHE_GB);
    if !(gigabytes >= 0.0 && gigabytes <= 1e9) {
        return Err(source.error("custom.dataset.frame_cache_gb", "must be in 0..=10^9"));
    }
    let dir = match &data.frame_cache {
        Some(FrameCacheKey::Default(false)) => return Ok(None),
        None | Some(FrameCacheKey::Default(true)) => output_dir.join("frame_cache"),
        Some(FrameCacheKey::Dir(dir)) if dir.is_empty() => {
            return Err(source.error("custom.dataset.frame_cache", "is empty; give a folder, or false for none"));
        }
        Some(FrameCacheKey::Dir(dir)) => PathBuf::from(dir),
    };
    if dir.exists() && !dir.is_dir() {
        return Err(source.error("custom.dataset.frame_cache", format!("{} is not a folder", dir.display())));
    }
    Ok(Some(FrameCachePlan { dir, bytes_max: (gigabytes * 1e9) as u64 }))
}

/// Where metrics go.
pub(super) fn loggers(toml: &SftToml, source: &Source) -> Result<Vec<Logger>> {
    let names = toml.logging.logger.clone().unwrap_or_default();
    let logger = |name: &String| match name.as_str() {
        "console" => Ok(Logger::Console),
        "jsonl" => Ok(Logger::Jsonl),
        "tensorboard" => Ok(Logger::Tensorboard),
        "wandb" => Ok(Logger::Wandb),
        _ => {
            let message =
                format!("{name:?} is not a logger; there are \"console\", \"jsonl\", \"tensorboard\", \"wandb\"");
            Err(source.error("logging.logger", message))
        }
    };
    names.iter().map(logger).collect()
}
