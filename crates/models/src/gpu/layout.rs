//! Where every parameter lies in the flat buffers: one order, that of the table, for weights, gradients and optimizer state.
//!
//! A parameter starts at a multiple of 128 values (256 bytes of bf16), except where it must touch the one before it: keys behind queries,
//! values behind keys, up behind gate, so that each group is one matrix. What lies between is zero and stays zero.

use crate::{Error, ParamId, ParamSpec, Result};

/// Values at a multiple of which a parameter starts: what cuBLASLt's heuristic assumes of an address.
const ALIGNMENT: usize = 128;
/// Values of which every length is a multiple.
const VECTOR: usize = 8;

/// A range of values of the flat buffers, padding included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub len: usize,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its values with the padding behind them.
    pub span: Span,
    /// Its own values, the first of the span.
    pub count: usize,
}

/// All parameters in their order.
#[derive(Clone, Debug)]
pub(crate) struct FlatLayout {
    places: Vec<Place>,
    len: usize,
}

impl FlatLayout {
    /// `joined` must begin where the parameter before them ends; of `row_padded` (tables of the vocabulary) the number of rows is
    /// padded to a multiple of 8.
    ///
    /// # Errors
    /// [`Error::Internal`] if a joined parameter would not begin at a multiple of 8 values.
    pub fn new(specs: &[ParamSpec], joined: &[ParamId], row_padded: &[ParamId]) -> Result<Self> {
        let (mut places, mut end) = (Vec::with_capacity(specs.len()), 0usize);
        for (i, spec) in specs.iter().enumerate() {
            let count: usize = spec.shape.iter().product();
            let is_in = |list: &[ParamId]| list.iter().any(|id| id.index() == i);
            let len = match (is_in(row_padded), spec.shape.as_slice()) {
                (true, [rows, cols]) => rows.next_multiple_of(VECTOR) * cols,
                _ => count,
            };
            let start = if is_in(joined) { end } else { end.next_multiple_of(ALIGNMENT) };
            if is_in(joined) && !start.is_multiple_of(VECTOR) {
                return Err(Error::Internal(format!("{} would begin at value {start}", spec.name)));
            }
            let span = Span { start, len: len.next_multiple_of(VECTOR) };
            end = start + if is_in(joined) || is_next(joined, i) { len } else { span.len };
            places.push(Place { span, count });
        }
        Ok(Self { places, len: end.next_multiple_of(ALIGNMENT) })
    }

    /// One parameter.
    pub fn place(&self, id: ParamId) -> Place {
        self.places[id.index()]
    }

    /// All parameters, in order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Values of a flat buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The parameters from `first` to `last` as one matrix.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is a gap between them.
    pub fn joined(&self, first: ParamId, last: ParamId) -> Result<Span> {
        let places = self.places.get(first.index()..=last.index()).unwrap_or_default();
        let touch = places.windows(2).all(|w| w[0].span.start + w[0].count == w[1].span.start);
        match (places.first(), places.last()) {
            (Some(a), Some(b)) if touch => {
                Ok(Span { start: a.span.start, len: b.span.start + b.span.len - a.span.start })
            }
            _ => Err(Error::internal("parameters of one matrix do not touch in the flat buffer")),
        }
    }
}

/// Whether the parameter after `i` is joined to it.
fn is_next(joined: &[ParamId], i: usize) -> bool {
    joined.iter().any(|id| id.index() == i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, params::ParamTable};

    #[test]
    fn parameters_are_aligned_and_groups_touch() {
        let mut table = ParamTable::default();
        let mut add = |shape: &[usize]| table.add(format!("{shape:?}"), shape, Init::Normal);
        let (head, q, k, v, norm) = (add(&[13, 8]), add(&[24, 8]), add(&[8, 8]), add(&[8, 8]), add(&[12]));
        let layout = FlatLayout::new(table.specs(), &[k, v], &[head]).unwrap();
        let span = |id: ParamId| (layout.place(id).span.start, layout.place(id).span.len, layout.place(id).count);
        assert_eq!(span(head), (0, 128, 104));
        assert_eq!((span(q), span(k), span(v)), ((128, 192, 192), (320, 64, 64), (384, 64, 64)));
        assert_eq!(layout.joined(q, v).unwrap(), Span { start: 128, len: 320 });
        assert!(layout.joined(v, norm).is_err());
        assert_eq!((span(norm), layout.len()), ((512, 16, 12), 640));
    }
}
