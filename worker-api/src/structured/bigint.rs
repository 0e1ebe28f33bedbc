//! An integer of any size.

use super::OutOfRange;

/// An integer of any size: a sign and digits. Zero has no digits and no sign.
///
/// It is here to be carried, not to be reckoned with: turn it into an `i64`, a `u64`, an `i128`
/// or a `u128`, or give the digits to a library that can do more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BigInt {
    negative: bool,
    /// The lowest first; the last is not zero.
    digits: Vec<u64>,
}

impl BigInt {
    /// From a sign and digits to the base 2⁶⁴, the lowest first.
    pub fn new(negative: bool, mut digits: Vec<u64>) -> Self {
        let used = digits.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
        digits.truncate(used);
        Self { negative: negative && used > 0, digits }
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The digits to the base 2⁶⁴, the lowest first; the last is not zero.
    pub fn digits(&self) -> &[u64] {
        &self.digits
    }

    /// From bytes, the lowest first.
    pub(super) fn from_bytes(negative: bool, bytes: &[u8]) -> Self {
        let digits = bytes.chunks(8).map(|chunk| {
            let mut digit = [0; 8];
            digit[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(digit)
        });
        Self::new(negative, digits.collect())
    }

    /// Without its sign.
    fn magnitude(&self) -> Option<u128> {
        match *self.digits {
            [] => Some(0),
            [low] => Some(low.into()),
            [low, high] => Some(u128::from(high) << 64 | u128::from(low)),
            _ => None,
        }
    }
}

impl From<u128> for BigInt {
    fn from(number: u128) -> Self {
        Self::new(false, vec![number as u64, (number >> 64) as u64])
    }
}

impl From<i128> for BigInt {
    fn from(number: i128) -> Self {
        Self { negative: number < 0, ..number.unsigned_abs().into() }
    }
}

impl From<u64> for BigInt {
    fn from(number: u64) -> Self {
        u128::from(number).into()
    }
}

impl From<i64> for BigInt {
    fn from(number: i64) -> Self {
        i128::from(number).into()
    }
}

impl TryFrom<&BigInt> for u128 {
    type Error = OutOfRange;

    fn try_from(number: &BigInt) -> Result<Self, OutOfRange> {
        if number.negative {
            return Err(OutOfRange);
        }
        number.magnitude().ok_or(OutOfRange)
    }
}

impl TryFrom<&BigInt> for i128 {
    type Error = OutOfRange;

    fn try_from(number: &BigInt) -> Result<Self, OutOfRange> {
        let magnitude = number.magnitude().ok_or(OutOfRange)?;
        let signed = if number.negative {
            0_i128.checked_sub_unsigned(magnitude)
        } else {
            magnitude.try_into().ok()
        };
        signed.ok_or(OutOfRange)
    }
}

impl TryFrom<&BigInt> for u64 {
    type Error = OutOfRange;

    fn try_from(number: &BigInt) -> Result<Self, OutOfRange> {
        u128::try_from(number)?.try_into().map_err(|_| OutOfRange)
    }
}

impl TryFrom<&BigInt> for i64 {
    type Error = OutOfRange;

    fn try_from(number: &BigInt) -> Result<Self, OutOfRange> {
        i128::try_from(number)?.try_into().map_err(|_| OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_of_the_ranges_fit() {
        for number in [0, 1, -1, i128::MAX, i128::MIN, u64::MAX.into(), i64::MIN.into()] {
            assert_eq!(i128::try_from(&BigInt::from(number)), Ok(number));
        }
        assert_eq!(u128::try_from(&BigInt::from(u128::MAX)), Ok(u128::MAX));
        assert_eq!(i128::try_from(&BigInt::from(u128::MAX)), Err(OutOfRange));
        assert_eq!(i64::try_from(&BigInt::from(i128::from(i64::MAX) + 1)), Err(OutOfRange));
        assert_eq!(u64::try_from(&BigInt::from(-1_i64)), Err(OutOfRange));
        let large = BigInt::new(true, vec![0, 0, 1]);
        assert_eq!(i128::try_from(&large), Err(OutOfRange));
    }

    #[test]
    fn zero_is_one_value() {
        assert_eq!(BigInt::new(true, vec![0, 0]), BigInt::from(0_u64));
        assert_eq!(BigInt::from_bytes(true, &[0; 9]), BigInt::default());
        assert_eq!(BigInt::from_bytes(false, &[5]), BigInt::from(5_u64));
    }

    proptest! {
        #[test]
        fn numbers_come_back(signed in any::<i64>(), unsigned in any::<u64>(), large in any::<i128>()) {
            prop_assert_eq!(i64::try_from(&BigInt::from(signed)), Ok(signed));
            prop_assert_eq!(u64::try_from(&BigInt::from(unsigned)), Ok(unsigned));
            prop_assert_eq!(i128::try_from(&BigInt::from(large)), Ok(large));
        }
    }
}
