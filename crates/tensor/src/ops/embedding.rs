//! Row look-up in a table.

use super::rows;
use crate::{Indices, Result, Tensor};

/// `y_TC = table_VC[ids]`.
///
/// # Errors
/// [`crate::Error::Index`] if an id is outside the table.
pub fn forward(table_vc: &Tensor, ids_t: &Indices) -> Result<Tensor> {
    rows::gather(table_vc, ids_t)
}

/// `d_table_VC[ids] += dy_TC`, in a fixed order.
///
/// # Errors
/// [`crate::Error::Shape`] if the widths or counts do not match, [`crate::Error::Index`] if an id is outside the table.
pub fn backward(dy_tc: &Tensor, ids_t: &Indices, d_table_vc: &mut Tensor) -> Result<()> {
    rows::scatter_add(d_table_vc, ids_t, dy_tc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::testing::tensor;

    #[test]
    fn looks_up_and_adds_back() {
        let table = tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]);
        let ids = Indices::new(&Device::Cpu, vec![2, 0, 2]);
        let y = forward(&table, &ids).unwrap();
        assert_eq!((y.shape(), y.to_vec()), (&[3, 2][..], vec![5.0, 6.0, 1.0, 2.0, 5.0, 6.0]));
        let mut d_table = tensor([1.0; 6], &[3, 2]);
        backward(&tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]), &ids, &mut d_table).unwrap();
        assert_eq!(d_table.to_vec(), [4.0, 5.0, 1.0, 1.0, 7.0, 9.0]);
        for bad in [-1, 3] {
            assert!(forward(&table, &Indices::new(&Device::Cpu, vec![0, bad])).is_err());
        }
    }
}
