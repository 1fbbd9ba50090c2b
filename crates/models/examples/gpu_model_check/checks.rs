//! Counting checks, and comparing lists of tensors.

/// What was checked so far.
#[derive(Default)]
pub struct Checks {
    passed: usize,
    failures: Vec<String>,
    skipped: Vec<String>,
}

/// One tensor of two results.
pub struct Compared {
    pub name: String,
    /// ‖a - b‖, ‖b‖.
    pub error: f64,
    pub norm: f64,
    /// Largest ‖a - b‖ / ‖b‖ that passes.
    pub limit: f64,
}

/// Share of the whole gradient's norm under which a tensor's own is taken for noise and compared against this share instead.
const NOISE_SHARE: f64 = 2e-3;
/// Lines of a table.
const WORST: usize = 10;

pub fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// ‖a - b‖, which is infinite for lists of different length.
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    norm(a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)))
}

pub fn length(a: &[f32]) -> f64 {
    norm(a.iter().map(|v| f64::from(*v)))
}

impl Checks {
    /// Counts a check that is true or false.
    pub fn holds(&mut self, what: &str, good: bool, detail: &str) {
        println!("{} {what}: {detail}", if good { "ok  " } else { "FAIL" });
        if good {
            self.passed += 1;
        } else {
            self.failures.push(format!("{what}: {detail}"));
        }
    }

    /// Counts a check of two numbers: |a - b| <= limit |b|.
    pub fn near(&mut self, what: &str, got: f64, want: f64, limit: f64) {
        let relative = (got - want).abs() / want.abs().max(1e-30);
        let detail = format!("GPU {got:.6}, CPU {want:.6}: {relative:.2e} (limit {limit:.0e})");
        // False for NaN as well.
        self.holds(what, relative <= limit, &detail);
    }

    /// Counts a check a tensor, and prints the worst ten with names and norms.
    pub fn tensors(&mut self, what: &str, mut all: Vec<Compared>) {
        let whole = norm(all.iter().map(|c| c.norm));
        let relative = |c: &Compared| c.error / c.norm.max(NOISE_SHARE * whole).max(1e-30);
        let rank = |c: &Compared| {
            let ratio = relative(c) / c.limit;
            if ratio.is_nan() { f64::INFINITY } else { ratio }
        };
        all.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let failed: Vec<String> = all.iter().filter(|c| rank(c) > 1.0).map(|c| c.name.clone()).collect();
        println!("     {what}: {} tensors, norm of all {whole:.4e}; the worst by error over limit:", all.len());
        println!("     {:>10} {:>9} {:>11}  tensor", "error", "limit", "norm");
        for c in all.iter().take(WORST.max(failed.len())) {
            let mark = if rank(c) > 1.0 { "FAIL" } else { "    " };
            println!("{mark} {:10.3e} {:9.1e} {:11.3e}  {}", relative(c), c.limit, c.norm, c.name);
        }
        self.passed += all.len() - failed.len();
        if !failed.is_empty() {
            self.failures.push(format!("{what}: {} tensors: {}", failed.len(), failed.join(", ")));
        }
    }

    /// Runs a check whose calls may fail, and counts the failure.
    pub fn attempt(&mut self, what: &str, check: impl FnOnce(&mut Self) -> Result<(), models::Error>) {
        if let Err(error) = check(self) {
            println!("FAIL {what}: {error}");
            self.failures.push(format!("{what}: {error}"));
        }
    }

    pub fn skip(&mut self, what: &str, reason: &str) {
        println!("SKIP {what}: {reason}");
        self.skipped.push(what.into());
    }

    /// Prints the failures; ends the process with 1 if there are any.
    pub fn finish(self) {
        println!("\n== failures");
        self.failures.iter().for_each(|failure| println!("FAIL {failure}"));
        println!("{} passed, {} failed, {} skipped", self.passed, self.failures.len(), self.skipped.len());
        std::process::exit(i32::from(!self.failures.is_empty()));
    }
}
