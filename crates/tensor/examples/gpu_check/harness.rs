//! Random operands, comparison with the reference, and times.

use half::bf16;
use tensor::cuda::{Buffer, Error, Gpu, Stream, View};
use tensor::{Device, Tensor};

/// What all checks share.
pub struct Harness {
    pub gpu: Gpu,
    pub stream: Stream,
    /// GB/s of a copy on this GPU in this run, bytes read plus bytes written.
    pub copy_gb_s: f64,
    checks: usize,
    failures: Vec<String>,
    table: Vec<String>,
}

/// A CPU tensor of bf16 values and the same on the GPU.
pub struct Pair {
    pub cpu: Tensor,
    pub gpu: Buffer<bf16>,
}

/// Values in -1..1, fixed by `seed` (splitmix64), rounded to bf16.
pub fn random(len: usize, seed: u64) -> Vec<bf16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let values = (0..len).map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bf16::from_f32(((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    });
    values.collect()
}

pub fn wide(values: &[bf16]) -> Vec<f32> {
    values.iter().map(|v| v.to_f32()).collect()
}

impl Harness {
    pub fn new(gpu: Gpu) -> Result<Self, Error> {
        let stream = gpu.stream()?;
        let mut h = Self { gpu, stream, copy_gb_s: 0.0, checks: 0, failures: vec![], table: vec![] };
        h.copy_gb_s = h.copy_rate()?;
        println!("copy {:.0} GB/s", h.copy_gb_s);
        Ok(h)
    }

    fn copy_rate(&self) -> Result<f64, Error> {
        const BYTES: usize = 2 << 30;
        let from = self.gpu.zeros::<u8>(&self.stream, BYTES, "copy")?;
        let mut to = self.gpu.unset::<u8>(BYTES, "copy")?;
        let ms = self.time(1, || self.stream.copy(to.view_mut(), from.view()))?;
        Ok(2.0 * BYTES as f64 / ms / 1e6)
    }

    /// Random values of a shape, on both sides.
    pub fn pair(&self, shape: &[usize], seed: u64) -> Pair {
        self.pair_of(random(shape.iter().product(), seed), shape)
    }

    /// Given values on both sides.
    pub fn pair_of(&self, values: Vec<bf16>, shape: &[usize]) -> Pair {
        let cpu = Tensor::from_vec(&Device::Cpu, wide(&values), shape).unwrap();
        Pair { cpu, gpu: self.gpu.upload(&self.stream, &values, "operand").unwrap() }
    }

    /// Random values on the GPU only.
    pub fn device(&self, len: usize, seed: u64) -> Result<Buffer<bf16>, Error> {
        // A block of random values repeated: drawing billions on the host takes longer than all timings.
        const BLOCK: usize = 1 << 20;
        let block = random(BLOCK.min(len), seed);
        let mut buffer = self.gpu.unset(len, "operand")?;
        let first = self.gpu.upload(&self.stream, &block, "operand")?;
        let mut at = 0;
        while at < len {
            let count = block.len().min(len - at);
            self.stream.copy(buffer.view_mut().part(at, count)?, first.view().part(0, count)?)?;
            at += count;
        }
        self.stream.synchronize()?;
        Ok(buffer)
    }

    /// GPU memory whose every value is a NaN, so that what an op leaves unwritten shows.
    pub fn poison<T: tensor::cuda::Element>(&self, len: usize) -> Buffer<T> {
        let mut buffer = self.gpu.unset(len, "result").unwrap();
        self.stream.fill_bytes(buffer.view_mut(), 0xff).unwrap();
        buffer
    }

    pub fn read(&self, view: View<'_, bf16>) -> Vec<f32> {
        wide(&self.stream.read(view).unwrap())
    }

    /// Counts a check: `‖got - want‖ <= tolerance ‖want‖`, and nothing that is not finite.
    pub fn close(&mut self, what: &str, got: &[f32], want: &[f32], tolerance: f64) {
        self.checks += 1;
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let error = norm(&mut got.iter().zip(want).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let size = norm(&mut want.iter().map(|&v| f64::from(v)));
        let relative = error / size.max(1e-30);
        let good = got.len() == want.len() && (relative <= tolerance || (size < 1e-12 && error < 1e-6));
        println!("{} {what}: {relative:.2e} (limit {tolerance:.0e})", if good { "ok  " } else { "FAIL" });
        if !good {
            self.failures.push(format!("{what}: {relative:.2e} over {tolerance:.0e}"));
        }
    }

    /// Counts a check that is true or false.
    pub fn holds(&mut self, what: &str, good: bool) {
        self.checks += 1;
        println!("{} {what}", if good { "ok  " } else { "FAIL" });
        if !good {
            self.failures.push(what.into());
        }
    }

    /// Runs a check whose calls may fail, and counts the failure.
    pub fn attempt(&mut self, what: &str, check: impl FnOnce(&mut Self) -> Result<(), Error>) {
        if let Err(error) = check(self).and_then(|()| self.stream.synchronize()) {
            self.checks += 1;
            println!("FAIL {what}: {error}");
            self.failures.push(format!("{what}: {error}"));
        }
    }

    /// Median milliseconds of one call, over 15 timings of `inner` calls each, after 3 untimed.
    pub fn time(&self, inner: usize, mut call: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
        const TIMINGS: usize = 15;
        let (start, end) = (self.gpu.event()?, self.gpu.event()?);
        for _ in 0..3 {
            call()?;
        }
        let mut times = Vec::new();
        for _ in 0..TIMINGS {
            self.stream.record(&start)?;
            for _ in 0..inner {
                call()?;
            }
            self.stream.record(&end)?;
            times.push(f64::from(end.since_ms(&start)?) / inner as f64);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[TIMINGS / 2])
    }

    /// A line of the final table for an op bound by arithmetic.
    pub fn flops(&mut self, what: &str, ms: f64, flops: f64) {
        self.line(format!("{what:56} {:9.1} us {:7.0} TFLOP/s", ms * 1e3, flops / ms / 1e9));
    }

    /// A line of the final table for an op bound by memory.
    pub fn bytes(&mut self, what: &str, ms: f64, bytes: f64) {
        let rate = bytes / ms / 1e6;
        let share = 100.0 * rate / self.copy_gb_s;
        self.line(format!("{what:56} {:9.1} us {rate:7.0} GB/s {share:4.0} % of copy", ms * 1e3));
    }

    fn line(&mut self, line: String) {
        println!("{line}");
        self.table.push(line);
    }

    /// Prints the table and the failures; ends the process with 1 if there are any.
    pub fn finish(self) {
        println!("\n== table (copy {:.0} GB/s)", self.copy_gb_s);
        self.table.iter().for_each(|line| println!("{line}"));
        println!("== {} checks, {} failures", self.checks, self.failures.len());
        self.failures.iter().for_each(|failure| println!("FAIL {failure}"));
        std::process::exit(i32::from(!self.failures.is_empty()));
    }
}
