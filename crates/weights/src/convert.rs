//! Between bytes on disk, little-endian, and f32 values in memory.

use half::{bf16, f16};
use rayon::prelude::*;
use tensor::DType;

use crate::StoredDType;

/// Elements that one task converts.
const TASK_ELEMENTS: usize = 1 << 16;

/// The f32 values of `bytes`, exact; `None` if `dtype` has values that f32 has not.
pub(crate) fn to_f32(dtype: StoredDType, bytes: &[u8]) -> Option<Vec<f32>> {
    match dtype {
        StoredDType::F32 => Some(decode(bytes, f32::from_le_bytes)),
        StoredDType::Bf16 => Some(decode(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        StoredDType::F16 => Some(decode(bytes, |b| f16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

/// The integer values of `bytes`; `None` if `dtype` is no integer type (BOOL counts as 0 and 1) or is U64.
pub(crate) fn to_i64(dtype: StoredDType, bytes: &[u8]) -> Option<Vec<i64>> {
    match dtype {
        StoredDType::I64 => Some(decode(bytes, i64::from_le_bytes)),
        StoredDType::I32 => Some(decode(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        StoredDType::I16 => Some(decode(bytes, |b| i64::from(i16::from_le_bytes(b)))),
        StoredDType::I8 => Some(decode(bytes, |b| i64::from(i8::from_le_bytes(b)))),
        StoredDType::U32 => Some(decode(bytes, |b| i64::from(u32::from_le_bytes(b)))),
        StoredDType::U16 => Some(decode(bytes, |b| i64::from(u16::from_le_bytes(b)))),
        StoredDType::U8 | StoredDType::Bool => Some(decode(bytes, |[b]: [u8; 1]| i64::from(b))),
        _ => None,
    }
}

fn decode<T: Copy + Default + Send, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T + Sync) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    let mut values = vec![T::default(); elements.len()];
    values.par_chunks_mut(TASK_ELEMENTS).zip(elements.par_chunks(TASK_ELEMENTS)).for_each(|(values, elements)| {
        for (to, from) in values.iter_mut().zip(elements) {
            *to = value(*from);
        }
    });
    values
}

/// Writes `values` to `bytes` as `dtype`; rounds to nearest, ties to even, and keeps NaN.
pub(crate) fn from_f32(values: &[f32], dtype: DType, bytes: &mut Vec<u8>) {
    bytes.resize(values.len().saturating_mul(dtype.size_bytes()), 0);
    match dtype {
        DType::F32 => encode(values, bytes, f32::to_le_bytes),
        DType::Bf16 => encode(values, bytes, |v| bf16::from_f32(v).to_le_bytes()),
        DType::F16 => encode(values, bytes, |v| f16::from_f32(v).to_le_bytes()),
    }
}

fn encode<const N: usize>(values: &[f32], bytes: &mut [u8], element: impl Fn(f32) -> [u8; N] + Sync) {
    let (elements, _) = bytes.as_chunks_mut::<N>();
    elements.par_chunks_mut(TASK_ELEMENTS).zip(values.par_chunks(TASK_ELEMENTS)).for_each(|(elements, values)| {
        for (to, from) in elements.iter_mut().zip(values) {
            *to = element(*from);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bf16(value: f32, expect: u16) {
        let mut bytes = Vec::new();
        from_f32(&[value], DType::Bf16, &mut bytes);
        assert_eq!(bytes, expect.to_le_bytes(), "{value:e} {:#x}", value.to_bits());
    }

    #[test]
    fn bf16_rounds_to_nearest_even_and_keeps_nan() {
        check_bf16(1.0, 0x3f80);
        check_bf16(f32::from_bits(0x3f80_8000), 0x3f80); // tie, even below
        check_bf16(f32::from_bits(0x3f81_8000), 0x3f82); // tie, even above
        check_bf16(f32::from_bits(0x3f80_8001), 0x3f81);
        check_bf16(f32::from_bits(0x3f80_7fff), 0x3f80);
        check_bf16(-0.0, 0x8000);
        check_bf16(f32::MAX, 0x7f80);
        check_bf16(f32::NEG_INFINITY, 0xff80);
        check_bf16(f32::from_bits(0x0000_0001), 0x0000);
        check_bf16(f32::from_bits(0x0000_8001), 0x0001); // subnormals round like the rest
        check_bf16(f32::from_bits(0x7f80_0001), 0x7fc0); // a NaN whose payload is all in the dropped bits
        check_bf16(f32::from_bits(0xffc1_2345), 0xffc1);
    }

    #[test]
    fn every_half_value_survives_the_round_trip() {
        for (stored, dtype) in [(StoredDType::Bf16, DType::Bf16), (StoredDType::F16, DType::F16)] {
            let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let values = to_f32(stored, &all).unwrap();
            let mut back = Vec::new();
            from_f32(&values, dtype, &mut back);
            for (i, (a, b)) in all.as_chunks::<2>().0.iter().zip(back.as_chunks::<2>().0).enumerate() {
                assert!(a == b || values[i].is_nan(), "{stored} {i:#x}");
            }
        }
    }
}
