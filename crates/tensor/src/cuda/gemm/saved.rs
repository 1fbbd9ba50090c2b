//! Choices of candidates as text, so that a later process need not measure again.

use std::sync::PoisonError;

use super::super::{Error, Result};
use super::{Choice, Gemm, OP, Shape};

impl Gemm {
    /// The choices made so far as text, for [`Gemm::restore`] in a later process.
    pub fn saved(&self) -> String {
        let choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<String> = choices.iter().map(|(shape, choice)| choice.line(shape)).collect();
        lines.sort();
        format!("{}\n{}\n", self.identity(), lines.join("\n"))
    }

    /// Takes over choices that [`Gemm::saved`] wrote, unless another GPU, library or workspace made them; returns how many.
    ///
    /// # Errors
    /// [`Error::Argument`] with the number of a line that is damaged; nothing is taken over then.
    pub fn restore(&self, text: &str) -> Result<usize> {
        let mut lines = text.lines();
        if lines.next() != Some(self.identity().as_str()) {
            return Ok(0);
        }
        let parse = |(i, line)| {
            Choice::parse(line)
                .ok_or_else(|| Error::argument(OP, format!("line {} of saved choices is damaged", i + 2)))
        };
        let read = lines.enumerate().filter(|(_, line)| !line.is_empty()).map(parse).collect::<Result<Vec<_>>>()?;
        let count = read.len();
        self.choices.lock().unwrap_or_else(PoisonError::into_inner).extend(read);
        Ok(count)
    }

    /// What a choice depends on beside the shape.
    fn identity(&self) -> String {
        let workspace = self.workspace.len();
        format!("{}, cuBLASLt {}, workspace {workspace}", self.gpu.info().name, self.gpu.cublaslt.version())
    }
}

/// Numbers of a saved line: those of a shape, two times, and the algorithm's eight words.
const SAVED_NUMBERS: usize = 11 + 2 + 8;

impl Choice {
    fn line(&self, shape: &Shape) -> String {
        let Shape { m, n, k, transpose: [ta, tb], ld: [a, b, d], wide, accumulate, epilogue } = *shape;
        let sizes = [m, n, k, usize::from(ta), usize::from(tb), a, b, d, usize::from(wide), usize::from(accumulate)];
        let times = [self.microseconds, self.first].map(|us| u64::from(us.to_bits()));
        let numbers =
            sizes.into_iter().map(|n| n as u64).chain([u64::from(epilogue)]).chain(times).chain(self.algorithm);
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn parse(line: &str) -> Option<(Shape, Self)> {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
        let numbers: [u64; SAVED_NUMBERS] = numbers.try_into().ok()?;
        let [m, n, k, ta, tb, a, b, d, wide, accumulate] = *numbers.first_chunk::<10>()?;
        let size = |n: u64| usize::try_from(n).ok();
        let shape = Shape {
            m: size(m)?,
            n: size(n)?,
            k: size(k)?,
            transpose: [ta == 1, tb == 1],
            ld: [size(a)?, size(b)?, size(d)?],
            wide: wide == 1,
            accumulate: accumulate == 1,
            epilogue: u32::try_from(numbers[10]).ok()?,
        };
        let time = |bits: u64| u32::try_from(bits).ok().map(f32::from_bits);
        let algorithm = *numbers.last_chunk::<8>()?;
        Some((shape, Self { algorithm, microseconds: time(numbers[11])?, first: time(numbers[12])? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_survives_its_line() {
        let shape = Shape::new([2048, 12000, 6144], [true, false], [6144, 6144, 2048], false, true, 164);
        let choice = Choice { algorithm: [1, 2, 3, u64::MAX, 5, 6, 7, 8], microseconds: 421.9, first: 438.1 };
        let line = choice.line(&shape);
        let (same_shape, same) = Choice::parse(&line).unwrap();
        assert_eq!(same_shape, shape);
        assert_eq!(
            (same.algorithm, same.microseconds, same.first),
            (choice.algorithm, choice.microseconds, choice.first)
        );
        assert!(Choice::parse(&line[..line.len() - 2]).is_none());
        assert!(Choice::parse("").is_none());
    }
}
