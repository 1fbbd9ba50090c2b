//! The checks: the same batch through both executors.

use std::path::Path;
use std::sync::Arc;

use models::gpu::{GpuOptions, GpuVlm, Kernels, Pixels, Remat, RematChoice, Stage, State};
use models::{Error, Vlm};
use processor::{GridThw, PackedInput, VlmInput, pack};
use tensor::Device;
use tensor::cuda::ops::optimizer::AdamWConfig;
use tensor::cuda::ops::vision::FrameShape;
use tensor::cuda::{Gpu, Stream};
use tensor::ops::optimizer::{self, AdamW};

use crate::cases::{Case, random, rounded};
use crate::checks::{Checks, Compared, distance, length};

/// A gradient in bf16 differs by about 1e-2; the limit of a tensor is this, or so many times what noise of a bf16 rounding in every
/// weight does to it on the CPU, whichever is larger.
const GRADIENT_LIMIT: f64 = 3e-2;
const SPREADS: f64 = 5.0;
/// Beyond it nothing passes, however sensitive: a wrong gradient is off by about 1.
const GRADIENT_LIMIT_MOST: f64 = 0.3;
const LOSS_LIMIT: f64 = 5e-3;
const LOGITS_LIMIT: f64 = 3e-2;
/// Losses and norms of ten steps, whose differences add up: at least, and beyond which nothing passes.
const STEPS_LIMIT: f64 = 3e-2;
const STEPS_LIMIT_MOST: f64 = 0.5;

type Checked = Result<(), Error>;
/// Gradients by parameter.
type Gradients = Vec<Vec<f32>>;

fn no_hook(_: &Stream, _: Stage) -> Result<(), Error> {
    Ok(())
}

fn packed(case: &Case) -> PackedInput {
    pack(&case.samples.iter().collect::<Vec<_>>())
}

/// The GPU with the kernels that all cases share: nothing is compiled or tuned twice.
pub struct On {
    pub gpu: Gpu,
    fast: Arc<Kernels>,
    deterministic: Arc<Kernels>,
}

impl On {
    pub fn new(gpu: Gpu) -> Result<Self, Error> {
        let kernels = |deterministic| Kernels::new(&gpu, deterministic).map(Arc::new);
        let (fast, deterministic) = (kernels(false)?, kernels(true)?);
        Ok(Self { gpu, fast, deterministic })
    }
}

fn on_gpu(on: &On, case: &Case, options: GpuOptions) -> Result<GpuVlm, Error> {
    let kernels = if options.deterministic { &on.deterministic } else { &on.fast };
    let model = GpuVlm::sharing(&on.gpu, case.model.config.clone(), case.layout(), options, kernels.clone())?;
    model.upload(&case.model)?;
    Ok(model)
}

fn deterministic(remat: RematChoice) -> GpuOptions {
    GpuOptions { deterministic: true, remat, ..GpuOptions::default() }
}

fn read_gradients(model: &GpuVlm) -> Result<Gradients, Error> {
    let read = |i| model.weights().read_state(model.stream(), State::Gradient, i);
    (0..model.specs().len()).map(read).collect()
}

/// Loss and gradients by the GPU of batches one after another.
fn gpu_gradients(model: &mut GpuVlm, batches: &[PackedInput]) -> Result<(f64, Gradients), Error> {
    model.forget_gradients();
    for batch in batches {
        model.forward_backward(batch, &mut no_hook)?;
    }
    Ok((model.loss_sum()?, read_gradients(model)?))
}

fn cpu_gradients(model: &Vlm, batch: &PackedInput) -> Result<(f64, Gradients), Error> {
    let mut grads = model.params.zero_grads();
    let sum = model.forward_backward(batch, 1.0, &mut grads)?;
    Ok((sum.loss, grads.tensors().iter().map(|t| t.to_vec()).collect()))
}

/// A model with noise of the size of a bf16 rounding in every weight.
fn noisy(model: &Vlm, seed: u64) -> Result<Vlm, Error> {
    let mut noisy = model.clone();
    for (i, tensor) in noisy.params.tensors_mut().iter_mut().enumerate() {
        let (mut values, noise) = (tensor.to_vec(), random(tensor.len(), seed + i as u64));
        values.iter_mut().zip(noise).for_each(|(v, r)| *v *= 1.0 + r / 256.0);
        tensor.copy_from_slice(&values)?;
    }
    Ok(noisy)
}

/// What that noise does to each gradient, relative to its norm.
fn spreads(case: &Case, batch: &PackedInput, want: &Gradients) -> Result<Vec<f64>, Error> {
    let (_, other) = cpu_gradients(&noisy(&case.model, 900)?, batch)?;
    Ok(other.iter().zip(want).map(|(a, b)| distance(a, b) / length(b).max(1e-30)).collect())
}

fn compared(case: &Case, got: &Gradients, want: &Gradients, spreads: &[f64]) -> Vec<Compared> {
    let names = case.model.params.names();
    let pairs = names.zip(got.iter().zip(want)).zip(spreads);
    let all = pairs.map(|((name, (got, want)), spread)| Compared {
        name: name.to_owned(),
        error: distance(got, want),
        norm: length(want),
        limit: (SPREADS * spread).clamp(GRADIENT_LIMIT, GRADIENT_LIMIT_MOST),
    });
    all.collect()
}

/// Loss, logits of labelled rows and every gradient, of all samples packed.
pub fn gradients(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let batch = packed(case);
    println!("     {} tokens, {} patches, boundaries {:?}", batch.input_ids.len(), patches(&batch), batch.cu_seqlens);
    let mut model = on_gpu(on, case, GpuOptions::default())?;
    println!("     {}", model.prepare(&batch)?.words());
    let (want_loss, want) = cpu_gradients(&case.model, &batch)?;
    let rows: Vec<u32> = labelled(&batch);
    let (got, logits) = (model.labelled_logits(&batch)?, case.model.logits(&batch, &rows)?.to_vec());
    let relative = distance(&got, &logits) / length(&logits);
    let detail = format!("{} rows, {relative:.2e} (limit {LOGITS_LIMIT:.0e})", rows.len());
    c.holds(&format!("{} logits", case.name), relative <= LOGITS_LIMIT, &detail);
    let (loss, got) = gpu_gradients(&mut model, std::slice::from_ref(&batch))?;
    c.near(&format!("{} loss", case.name), loss, want_loss, LOSS_LIMIT);
    let spreads = spreads(case, &batch, &want)?;
    c.tensors(&format!("{} gradients", case.name), compared(case, &got, &want, &spreads));
    Ok(())
}

fn patches(batch: &PackedInput) -> usize {
    batch.grid_thw.iter().map(|g| g.patches()).sum()
}

/// Rows whose next token, in the same sample, is labelled.
fn labelled(batch: &PackedInput) -> Vec<u32> {
    let row = |bounds: &[u32]| bounds[0]..bounds[1].saturating_sub(1);
    let rows = batch.cu_seqlens.windows(2).flat_map(row);
    rows.filter(|&row| batch.labels[row as usize + 1] >= 0).collect()
}

/// One sample at a time, gradients added up, against all at once on the CPU.
pub fn micro_batches(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let mut model = on_gpu(on, case, GpuOptions::default())?;
    let (batch, each) = (packed(case), case.samples.iter().map(|s| pack(&[s])).collect::<Vec<_>>());
    let (want_loss, want) = cpu_gradients(&case.model, &batch)?;
    let spreads = spreads(case, &batch, &want)?;
    let (loss, got) = gpu_gradients(&mut model, &each)?;
    c.near(&format!("{} loss of micro-batches", case.name), loss, want_loss, LOSS_LIMIT);
    c.tensors(&format!("{} gradients of micro-batches", case.name), compared(case, &got, &want, &spreads));
    Ok(())
}

/// A step without video after one with: nothing of the first is left.
pub fn text_after_video(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let mut model = on_gpu(on, case, GpuOptions::default())?;
    gpu_gradients(&mut model, &[packed(case)])?;
    let text: Vec<&VlmInput> = case.samples.iter().filter(|s| s.grid_thw.is_empty()).collect();
    let batch = pack(&text);
    let (want_loss, want) = cpu_gradients(&case.model, &batch)?;
    let (loss, got) = gpu_gradients(&mut model, std::slice::from_ref(&batch))?;
    c.near(&format!("{} loss of text alone", case.name), loss, want_loss, LOSS_LIMIT);
    let vision = case.model.params.names().zip(&got).filter(|(name, _)| name.starts_with("model.visual."));
    let left: Vec<&str> = vision.filter(|(_, grad)| grad.iter().any(|g| *g != 0.0)).map(|(name, _)| name).collect();
    c.holds(&format!("{} no gradient of vision", case.name), left.is_empty(), &format!("not zero: {left:?}"));
    let spreads = spreads(case, &batch, &want)?;
    c.tensors(&format!("{} gradients of text alone", case.name), compared(case, &got, &want, &spreads));
    Ok(())
}

/// The loss without gradients is that with them, and leaves the sums of the step alone.
pub fn loss_alone(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let mut model = on_gpu(on, case, GpuOptions::default())?;
    let batch = packed(case);
    let (with, before) = gpu_gradients(&mut model, std::slice::from_ref(&batch))?;
    let alone = model.loss(&batch)?;
    c.near(&format!("{} loss alone", case.name), alone.loss, with, 1e-5);
    let kept = model.loss_sum()?.to_bits() == with.to_bits() && same_bits(&before, &read_gradients(&model)?).is_empty();
    c.holds(&format!("{} a loss alone changes nothing", case.name), kept, &format!("{} tokens", alone.tokens));
    Ok(())
}

/// Numbers of the tensors that differ in any bit.
fn same_bits(a: &Gradients, b: &Gradients) -> Vec<usize> {
    let differs = |a: &[f32], b: &[f32]| a.len() != b.len() || a.iter().zip(b).any(|(x, y)| x.to_bits() != y.to_bits());
    a.iter().zip(b).enumerate().filter(|(_, (a, b))| differs(a, b)).map(|(i, _)| i).collect()
}

fn hold_equal(c: &mut Checks, what: &str, case: &Case, a: &(f64, Gradients), b: &(f64, Gradients)) {
    let differ = same_bits(&a.1, &b.1);
    let names: Vec<&str> = case.model.params.names().collect();
    let largest = differ.iter().map(|&i| distance(&b.1[i], &a.1[i]) / length(&a.1[i]).max(1e-30)).fold(0.0, f64::max);
    let first: Vec<&str> = differ.iter().take(8).map(|&i| names[i]).collect();
    let detail = format!(
        "losses {:.9} and {:.9}; {} of {} gradients differ, by {largest:.1e} at most {first:?}",
        a.0,
        b.0,
        differ.len(),
        names.len()
    );
    c.holds(what, a.0.to_bits() == b.0.to_bits() && differ.is_empty(), &detail);
}

/// Two runs of one model, and one of a second model, with `deterministic`; how far the fast kernels go is only told.
pub fn equal_bits(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let batch = [packed(case)];
    let options = deterministic(RematChoice::Every(Remat::None));
    let mut model = on_gpu(on, case, options)?;
    let (first, second) = (gpu_gradients(&mut model, &batch)?, gpu_gradients(&mut model, &batch)?);
    hold_equal(c, &format!("{} the same bits twice", case.name), case, &first, &second);
    drop(model);
    // With kernels of its own, as another process has.
    let mut other = GpuVlm::new(&on.gpu, case.model.config.clone(), case.layout(), options)?;
    other.upload(&case.model)?;
    let third = gpu_gradients(&mut other, &batch)?;
    drop(other);
    hold_equal(c, &format!("{} the same bits in another model", case.name), case, &first, &third);
    let mut fast = on_gpu(on, case, GpuOptions::default())?;
    let (a, b) = (gpu_gradients(&mut fast, &batch)?, gpu_gradients(&mut fast, &batch)?);
    println!("     without `deterministic`, {} of {} gradients differ", same_bits(&a.1, &b.1).len(), a.1.len());
    Ok(())
}

/// What is kept changes no bit.
pub fn remat(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let batch = [packed(case)];
    let run = |choice| -> Result<(String, usize, (f64, Gradients)), Error> {
        let mut model = on_gpu(on, case, deterministic(choice))?;
        let prepared = model.prepare(&batch[0])?;
        let (words, bytes) = (prepared.words(), prepared.bytes());
        Ok((words, bytes, gpu_gradients(&mut model, &batch)?))
    };
    let (words, most, want) = run(RematChoice::Every(Remat::None))?;
    println!("     none: {words}");
    let mut sizes = vec![most];
    for remat in [Remat::Selective, Remat::Full] {
        let (words, bytes, got) = run(RematChoice::Every(remat))?;
        println!("     {remat:?}: {words}");
        sizes.push(bytes);
        hold_equal(c, &format!("{} remat {remat:?} changes no bit", case.name), case, &want, &got);
    }
    let bound = u64::midpoint(sizes[0] as u64, sizes[2] as u64);
    let (words, bytes, got) = run(RematChoice::Fit(bound))?;
    println!("     fit {bound}: {words}");
    c.holds(&format!("{} a plan that fits", case.name), bytes as u64 <= bound, &format!("{bytes} of {bound} bytes"));
    hold_equal(c, &format!("{} mixed remat changes no bit", case.name), case, &want, &got);
    Ok(())
}

/// Masters that are no bf16 values come back exactly; so do moments.
pub fn master(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let mut fine = case.model.clone();
    for (i, tensor) in fine.params.tensors_mut().iter_mut().enumerate() {
        tensor.copy_from_slice(&random(tensor.len(), 500 + i as u64))?;
    }
    let model = GpuVlm::new(&on.gpu, case.model.config.clone(), case.layout(), GpuOptions::default())?;
    model.upload(&fine)?;
    let mut back = case.model.clone();
    model.download(&mut back)?;
    let values = |model: &Vlm| -> Gradients { model.params.tensors().iter().map(|t| t.to_vec()).collect() };
    let differ = same_bits(&values(&fine), &values(&back));
    c.holds(&format!("{} masters come back", case.name), differ.is_empty(), &format!("{differ:?} differ"));
    for (i, tensor) in fine.params.tensors().iter().enumerate() {
        model.weights().write_state(model.stream(), State::Moment2, i, &tensor.to_vec())?;
    }
    let read = |i| model.weights().read_state(model.stream(), State::Moment2, i);
    let moments = (0..model.specs().len()).map(read).collect::<Result<Gradients, _>>()?;
    let differ = same_bits(&values(&fine), &moments);
    c.holds(&format!("{} moments come back", case.name), differ.is_empty(), &format!("{differ:?} differ"));
    model.fill_random(7)?;
    let first = model.weights().read(model.gpu(), model.stream(), 0)?;
    let deviation = length(&first) / (first.len() as f64).sqrt();
    c.near(&format!("{} deviation of random weights", case.name), deviation, 0.06, 0.05);
    Ok(())
}

/// Frames in bytes give what their normalised patches give.
pub fn frames(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let mut batch = packed(case);
    let [GridThw { t, h, w }] = batch.grid_thw[..] else { return Ok(()) };
    let shape = FrameShape {
        frames: 2 * t as usize,
        height: 16 * h as usize,
        width: 16 * w as usize,
        merge_size: 2,
        image_mean: [0.5; 3],
        image_std: [0.5; 3],
    };
    let bytes: Vec<u8> =
        random(shape.frames * shape.height * shape.width * 3, 5).iter().map(|v| ((v + 1.0) * 127.0) as u8).collect();
    batch.pixel_values = rounded(&patches_of(&bytes, shape));
    let options = deterministic(RematChoice::Every(Remat::None));
    let mut model = on_gpu(on, case, options)?;
    let want = gpu_gradients(&mut model, std::slice::from_ref(&batch))?;
    let on_device = on.gpu.upload(model.stream(), &bytes, "frames")?;
    let prepared = model.prepare(&batch)?;
    model.forget_gradients();
    model.run(&prepared, Pixels::Frames(on_device.view(), shape), &mut no_hook)?;
    let got = (model.loss_sum()?, read_gradients(&model)?);
    c.near(&format!("{} loss from frames", case.name), got.0, want.0, 1e-4);
    let all = case.model.params.names().zip(got.1.iter().zip(&want.1));
    let all = all.map(|(name, (a, b))| Compared {
        name: name.into(),
        error: distance(a, b),
        norm: length(b),
        limit: GRADIENT_LIMIT,
    });
    c.tensors(&format!("{} gradients from frames", case.name), all.collect());
    Ok(())
}

/// Frames cut into normalised patches, in the order of the tower.
fn patches_of(bytes: &[u8], s: FrameShape) -> Vec<f32> {
    let (rows, cols) = (s.height / 16, s.width / 16);
    let mut out = Vec::new();
    for step in 0..s.frames / 2 {
        for (block_row, block_col) in (0..rows / 2).flat_map(|r| (0..cols / 2).map(move |c| (r, c))) {
            for (row, col) in [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(r, c)| (2 * block_row + r, 2 * block_col + c)) {
                for i in 0..3 * 2 * 16 * 16 {
                    let (channel, frame, y, x) = (i / 512, i / 256 % 2, i / 16 % 16, i % 16);
                    let pixel = ((2 * step + frame) * s.height + row * 16 + y) * s.width + col * 16 + x;
                    out.push((f32::from(bytes[3 * pixel + channel]) - 127.5) / 127.5);
                }
            }
        }
    }
    out
}

/// Training on the CPU, a step at a time.
struct CpuRun {
    model: Vlm,
    grads: models::Grads,
    first: Vec<tensor::Tensor>,
    second: Vec<tensor::Tensor>,
}

impl CpuRun {
    fn new(model: Vlm) -> Self {
        let zeros = || model.params.tensors().iter().map(tensor::Tensor::zeros_like).collect();
        Self { grads: model.params.zero_grads(), first: zeros(), second: zeros(), model }
    }

    /// Loss and norm of the gradient before the step, which is then taken. `noise` is the seed of a change of every weight by up to a
    /// bf16 rounding, for the gradient alone.
    fn step(
        &mut self,
        batch: &PackedInput,
        config: AdamWConfig,
        step: u64,
        noise: Option<u64>,
    ) -> Result<[f64; 2], Error> {
        self.grads.fill_zero();
        let sum = match noise {
            None => self.model.forward_backward(batch, 1.0, &mut self.grads)?,
            Some(seed) => noisy(&self.model, seed)?.forward_backward(batch, 1.0, &mut self.grads)?,
        };
        let tokens = sum.tokens as f64;
        let squares = self.grads.tensors().iter().map(optimizer::sum_of_squares).sum::<tensor::Result<f64>>()?;
        let norm = squares.sqrt() / tokens;
        let grad_scale = ((f64::from(config.max_norm) / (norm + 1e-6)).min(1.0) / tokens) as f32;
        let AdamWConfig { beta1, beta2, eps, .. } = config;
        let settings = AdamW { lr: LR, beta1, beta2, eps, weight_decay: DECAY, step, grad_scale };
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((param, grad), (m, v)) in self.model.params.tensors_mut().iter_mut().zip(self.grads.tensors()).zip(moments)
        {
            optimizer::adamw(param, grad, m, v, settings)?;
        }
        Ok([sum.loss / tokens, norm])
    }
}

/// Slow enough that ten steps do not learn the batch by heart: a loss near 0 is all noise.
const LR: f64 = 3e-4;
const DECAY: f64 = 0.01;
const STEPS: u64 = 10;

/// Ten AdamW steps on one batch, against the CPU's losses and norms, with moments in f32 and in bf16. How far apart two runs may be
/// is measured: a second run on the CPU whose gradients are those of weights with the noise of a bf16 rounding.
pub fn steps(c: &mut Checks, on: &On, case: &Case) -> Checked {
    let config = AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-6, max_norm: 1.0 };
    let batch = packed(case);
    let (mut exact, mut noisy) = (CpuRun::new(case.model.clone()), CpuRun::new(case.model.clone()));
    let (mut wanted, mut limits, mut spread) = (Vec::new(), Vec::new(), [0.0f64; 2]);
    for step in 1..=STEPS {
        let want = exact.step(&batch, config, step, None)?;
        let other = noisy.step(&batch, config, step, Some(10_000 * step))?;
        for which in 0..2 {
            // Runs cross: what they were apart once counts from then on.
            spread[which] = spread[which].max((other[which] - want[which]).abs() / want[which]);
        }
        wanted.push(want);
        limits.push(spread.map(|spread| (SPREADS * spread).clamp(STEPS_LIMIT, STEPS_LIMIT_MOST)));
    }
    for bf16_moments in [false, true] {
        steps_with(c, on, case, bf16_moments, config, &batch, (&wanted, &limits), &exact.model)?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "one caller, above")]
fn steps_with(
    c: &mut Checks,
    on: &On,
    case: &Case,
    bf16_moments: bool,
    config: AdamWConfig,
    batch: &PackedInput,
    (wanted, limits): (&[[f64; 2]], &[[f64; 2]]),
    cpu: &Vlm,
) -> Checked {
    let name = format!("{}{}", case.name, if bf16_moments { ", bf16 moments," } else { "" });
    let mut model = on_gpu(on, case, GpuOptions { bf16_moments, ..GpuOptions::default() })?;
    model.set_optimizer(config, 0)?;
    for (step, ([loss, norm], limit)) in (1i32..).zip(wanted.iter().zip(limits)) {
        let tokens = model.forward_backward(batch, &mut no_hook)?;
        let got = model.loss_sum()? / tokens as f64;
        model.update(LR as f32, DECAY as f32, tokens, &mut no_hook)?;
        let report = model.report()?;
        c.near(&format!("{name} step {step} loss"), got, *loss, limit[0]);
        c.near(&format!("{name} step {step} norm"), f64::from(report.norm), *norm, limit[1]);
        let counted = report.steps == step && !report.skipped;
        c.holds(&format!("{name} step {step} taken"), counted, &format!("{report:?}"));
    }
    let mut moved = case.model.clone();
    model.download(&mut moved)?;
    let start = case.model.params.tensors().iter().map(|t| t.to_vec());
    let ends = moved.params.tensors().iter().zip(cpu.params.tensors()).map(|(a, b)| (a.to_vec(), b.to_vec()));
    let (mut error, mut whole) = (0.0f64, 0.0f64);
    for (start, (got, want)) in start.zip(ends) {
        error = error.hypot(distance(&got, &want));
        whole = whole.hypot(distance(&want, &start));
    }
    // A sign of Adam's first steps is that of the gradient: noise turns it over where the gradient is noise.
    let detail = format!("weights moved by {whole:.4e}, apart by {error:.4e}: {:.2e} (limit 0.5)", error / whole);
    c.holds(&format!("{name} weights after ten steps"), error <= 0.5 * whole, &detail);
    Ok(())
}

/// The committed tiny models, as far as kernels serve their sizes.
pub fn golden(c: &mut Checks, on: &On, dir: &Path) {
    let folders = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = folders.filter(|path| path.join("config.json").is_file()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let model = match Vlm::open(&folder, &Device::Cpu) {
            Ok(model) => model,
            Err(error) => {
                c.skip(&name, &format!("no vision-language model: {error}"));
                continue;
            }
        };
        match GpuVlm::new(&on.gpu, model.config.clone(), model.layout(), GpuOptions::default()) {
            Err(error @ Error::Config { .. }) => c.skip(&name, &error.to_string()),
            Err(error) => c.holds(&name, false, &error.to_string()),
            Ok(_) => c.holds(&name, true, "it is served, and no batch of it is checked here"),
        }
    }
}
