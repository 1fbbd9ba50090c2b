//! The answers to the questions about one clip.

use crate::{Request, Result, Settings, engine, request};
use models::{Prefix, Vlm};
use processor::{Overlength, Part, PixelBudget, Processor, Purpose, Role, Turn, VideoInput};
use records::{ContentHash, Guided, Outcome, Prediction};
use std::path::Path;

/// Who answers, and how.
pub(crate) struct Subject<'a> {
    model: &'a Vlm,
    processor: &'a Processor,
    pub settings: &'a Settings,
    weight_hash: ContentHash,
    end_ids: Vec<u32>,
}

impl<'a> Subject<'a> {
    pub fn new(model: &'a Vlm, processor: &'a Processor, settings: &'a Settings, weight_hash: ContentHash) -> Self {
        let mut end_ids = model.config.text.eos_token_ids.clone();
        end_ids.push(processor.eos_id());
        Self { model, processor, settings, weight_hash, end_ids }
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.model.params.tensors().iter().map(tensor::Tensor::len).sum()
    }
}

/// A clip with what is shared by the questions about it: its patches, and the beginning of the prompt.
pub(crate) struct Answerer<'a> {
    subject: &'a Subject<'a>,
    media_hash: Option<ContentHash>,
    clip: std::result::Result<VideoInput, String>,
    prefix: Option<Prefix>,
}

impl<'a> Answerer<'a> {
    /// Decodes a clip; one that cannot be read gives failed records.
    pub fn new(subject: &'a Subject<'a>, path: &Path, media_hash: Option<ContentHash>) -> Self {
        let Settings { frames, budget, backend, limits, .. } = subject.settings;
        let clip = video::decode(path, frames, *backend, limits)
            .map_err(|e| e.to_string())
            .and_then(|clip| subject.processor.video(&clip, budget).map_err(|e| e.to_string()));
        Self { subject, media_hash, clip, prefix: None }
    }

    /// The record of one request; none if `on_text` asked to stop.
    ///
    /// # Errors
    /// [`crate::Error`] if the model is broken.
    pub fn answer(
        &mut self,
        request: &Request,
        request_hash: ContentHash,
        on_text: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<Prediction>> {
        let outcome = match &self.clip {
            Err(reason) => Outcome::Failed { error: reason.clone() },
            Ok(_) => match self.generate(request, on_text)? {
                Some(outcome) => outcome,
                None => return Ok(None),
            },
        };
        let settings = self.subject.settings;
        let clip = self.clip.as_ref().ok();
        Ok(Some(Prediction {
            id: request.id.clone(),
            media: request.media.clone(),
            request_hash,
            media_hash: self.media_hash.clone(),
            model_name: settings.model_name.clone(),
            weight_hash: self.subject.weight_hash.clone(),
            task: settings.task.clone(),
            frame_indices: clip.map(|clip| clip.frame_indices.clone()).unwrap_or_default(),
            resized_size: clip.map(|clip| [clip.resized_height, clip.resized_width]),
            pixel_budget: recorded(settings.budget),
            prompt_hash: request::prompt_hash(request),
            sampling: settings.sampling,
            outcome,
        }))
    }

    fn generate(&mut self, request: &Request, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Option<Outcome>> {
        let Subject { model, processor, settings, end_ids, .. } = self.subject;
        let Ok(clip) = &self.clip else { return Ok(None) };
        let encoded = processor.sample_tokens(
            &turns(request),
            std::slice::from_ref(clip),
            Purpose::Generate,
            Overlength::Refuse,
            settings.prompt_tokens_max,
        );
        let mut input = match encoded {
            Ok(encoded) => encoded.input,
            Err(e) => return Ok(Some(Outcome::Failed { error: e.to_string() })),
        };
        let prefix = match self.prefix.take() {
            Some(prefix) if prefix.begins(&input.input_ids) => prefix,
            // The first question, or one with another system text.
            _ => {
                input.pixel_values.clone_from(&clip.pixel_values);
                let prefix = model.prefill_prefix(&input)?;
                input.pixel_values = Vec::new();
                prefix
            }
        };
        let prefix = self.prefix.insert(prefix);
        let tokenizer = processor.tokenizer();
        let mut stream = tokenizer.stream_decoder(true);
        let mut on_token = |id: u32| on_text(&stream.push(id));
        let choices = match settings.sampling.guided {
            Guided::Free => Vec::new(),
            Guided::Choice => {
                request.options.iter().map(|text| tokenizer.encode_text(text)).collect::<std::result::Result<_, _>>()?
            }
        };
        let generated = engine::generate(model, prefix, &input, settings.sampling, &choices, end_ids, &mut on_token)?;
        let Some(generated) = generated else { return Ok(None) };
        Ok(Some(Outcome::Done {
            text: tokenizer.decode(&generated.ids, true)?,
            prompt_tokens: input.input_ids.len() as u32,
            generated_tokens: generated.ids.len() as u32,
            finish_reason: generated.finish_reason,
        }))
    }
}

fn turns(request: &Request) -> Vec<Turn> {
    let mut turns = Vec::new();
    if !request.system.is_empty() {
        turns.push(Turn::text(Role::System, request.system.clone()));
    }
    turns.push(Turn { role: Role::User, content: vec![Part::Video(0), Part::Text(request.user.clone())] });
    turns
}

/// The budget as records spell it.
fn recorded(budget: PixelBudget) -> records::PixelBudget {
    match budget {
        PixelBudget::PerFrame { min_pixels, max_pixels, total_pixels } => {
            records::PixelBudget::PerFrame { min_pixels, max_pixels, total_pixels }
        }
        PixelBudget::PerClip { min_pixels, max_pixels } => records::PixelBudget::PerClip { min_pixels, max_pixels },
        PixelBudget::PerImage { min_pixels, max_pixels } => records::PixelBudget::PerImage { min_pixels, max_pixels },
        PixelBudget::Fixed { height, width } => records::PixelBudget::Fixed { height, width },
    }
}
