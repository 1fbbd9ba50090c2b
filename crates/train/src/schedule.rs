//! The learning rate at a step: warm-up, stable part, decay.

use serde::{Deserialize, Serialize};

/// A learning-rate schedule over a run of known length.
///
/// Source: cosmos-rl `policy/trainer/optm/__init__.py`; one virtual step past the end keeps the last rate above 0.
/// Deviation: none. Its two warm-up forms are both here, as [`WarmupForm`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Schedule {
    /// Peak learning rate.
    pub lr: f64,
    /// Length of the rise.
    pub warmup: Warmup,
    /// Shape of the rise.
    pub warmup_form: WarmupForm,
    /// Shape of the fall.
    pub decay: Decay,
    /// Share of all steps that the fall takes, in 0..=1; none is all that warm-up leaves.
    pub decay_ratio: Option<f64>,
    /// Factor at the end of the fall, in 0..=1.
    pub min_lr_factor: f64,
}

/// Length of the warm-up. In a config an integer is steps and a float is a fraction: `1` is one step, `1.0` is all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Warmup {
    /// So many steps.
    Steps(u64),
    /// Share of all steps, in 0..=1, rounded down.
    Fraction(f64),
}

/// The two shapes of the rise that cosmos-rl has had; `W` is its length, `t` the step from 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum WarmupForm {
    /// `(t + 1) / W`: cosmos-rl 0.3.9, which the recipe installs; the default.
    V0_3_9,
    /// `s + (1 - s) * t / (W - 1)` with start factor `s`: cosmos-rl 0.4.4; its first rate is 0 if `s` is.
    Head {
        /// Factor at the first step, in 0..=1.
        start_factor: f64,
    },
}

/// Shape of the fall from 1 to 0 over `p` in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// `(1 + cos(pi p)) / 2`.
    Cosine,
    /// `1 - p`.
    Linear,
    /// `1 - sqrt(p)`.
    Sqrt,
    /// 1 throughout.
    None,
}

impl Schedule {
    /// Learning rate of step `step`, from 0, in a run of `steps_total`.
    pub fn lr_at(&self, step: u64, steps_total: u64) -> f64 {
        self.lr * self.factor(step, steps_total)
    }

    /// Share of the peak rate at step `step`, from 0, in a run of `steps_total`.
    pub fn factor(&self, step: u64, steps_total: u64) -> f64 {
        let (total, t) = (steps_total as f64, step as f64);
        let warmup = self.warmup_steps(steps_total);
        if step < warmup {
            return self.warmup_form.factor(step, warmup);
        }
        let left = total - warmup as f64;
        let decay = self.decay_ratio.map_or(left, |ratio| (total * ratio).round_ties_even().min(left));
        let decay_start = total + 1.0 - decay;
        if t < decay_start || decay <= 0.0 {
            return 1.0;
        }
        let p = (t + 1.0 - decay_start) / decay;
        let fall = match self.decay {
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * p).cos()),
            Decay::Linear => 1.0 - p,
            Decay::Sqrt => 1.0 - p.sqrt(),
            Decay::None => 1.0,
        };
        self.min_lr_factor + (1.0 - self.min_lr_factor) * fall
    }

    /// Number of warm-up steps in a run of `steps_total`.
    pub fn warmup_steps(&self, steps_total: u64) -> u64 {
        let steps = match self.warmup {
            Warmup::Steps(steps) => steps,
            Warmup::Fraction(fraction) => (fraction * steps_total as f64) as u64,
        };
        steps.min(steps_total)
    }
}

impl WarmupForm {
    fn factor(self, step: u64, warmup: u64) -> f64 {
        match self {
            Self::V0_3_9 => (step + 1) as f64 / warmup as f64,
            Self::Head { .. } if warmup == 1 => 1.0,
            Self::Head { start_factor } => start_factor + (1.0 - start_factor) * step as f64 / (warmup - 1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: WarmupForm = WarmupForm::V0_3_9;
    const HEAD: WarmupForm = WarmupForm::Head { start_factor: 0.0 };

    fn check(schedule: (WarmupForm, Warmup, Decay, Option<f64>, f64), expect: &[(u64, f64)]) {
        let (warmup_form, warmup, decay, decay_ratio, min_lr_factor) = schedule;
        let schedule = Schedule { lr: 2.0, warmup, warmup_form, decay, decay_ratio, min_lr_factor };
        for &(t, factor) in expect {
            let got = schedule.factor(t, 100);
            assert!((got - factor).abs() < 1e-6, "{schedule:?} at {t}: {got}, expected {factor}");
            assert_eq!(schedule.lr_at(t, 100), 2.0 * got);
        }
    }

    #[test]
    fn vectors_of_the_reference() {
        let recipe = (Warmup::Fraction(0.03), Decay::Cosine, None, 0.0);
        let tail = [(2, 1.0), (3, 1.0), (4, 0.999738), (5, 0.998951), (50, 0.524281), (98, 0.001049), (99, 0.000262)];
        let (warmup, decay, ratio, min) = recipe;
        check((OLD, warmup, decay, ratio, min), &[&[(0, 1.0 / 3.0), (1, 2.0 / 3.0)][..], &tail].concat());
        check((HEAD, warmup, decay, ratio, min), &[&[(0, 0.0), (1, 0.5)][..], &tail].concat());
        check(
            (HEAD, Warmup::Fraction(0.03), Decay::Linear, Some(0.2), 0.1),
            &[(79, 1.0), (80, 1.0), (81, 0.955), (82, 0.91), (98, 0.19), (99, 0.145)],
        );
        check(
            (HEAD, Warmup::Steps(10), Decay::Sqrt, None, 0.0),
            &[(5, 0.555556), (9, 1.0), (10, 1.0), (11, 0.894591), (55, 0.292893), (99, 0.005571)],
        );
    }

    #[test]
    fn edges() {
        check((OLD, Warmup::Steps(0), Decay::None, None, 0.0), &[(0, 1.0), (99, 1.0)]);
        check((HEAD, Warmup::Steps(1), Decay::Linear, None, 0.0), &[(0, 1.0), (1, 1.0)]);
        check((OLD, Warmup::Fraction(1.0), Decay::Cosine, None, 0.0), &[(0, 0.01), (99, 1.0)]);
        check((OLD, Warmup::Steps(1000), Decay::Cosine, Some(1.0), 0.0), &[(99, 1.0)]);
        check((OLD, Warmup::Steps(0), Decay::Linear, Some(0.0), 0.0), &[(99, 1.0)]);
        check((OLD, Warmup::Steps(0), Decay::Linear, None, 0.0), &[(0, 1.0), (99, 0.01)]);
    }
}
