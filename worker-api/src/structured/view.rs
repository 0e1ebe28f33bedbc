//! A view of bytes.

/// What a [`View`] is in JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // named after JavaScript's
pub enum ViewKind {
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    DataView,
    /// Node's `Buffer`.
    Buffer,
    BigInt64Array,
    BigUint64Array,
    /// From Node 24 on; an older Node fails at it.
    Float16Array,
}

impl ViewKind {
    /// In the order of Node's numbers.
    const ALL: [Self; 14] = [
        Self::Int8Array,
        Self::Uint8Array,
        Self::Uint8ClampedArray,
        Self::Int16Array,
        Self::Uint16Array,
        Self::Int32Array,
        Self::Uint32Array,
        Self::Float32Array,
        Self::Float64Array,
        Self::DataView,
        Self::Buffer,
        Self::BigInt64Array,
        Self::BigUint64Array,
        Self::Float16Array,
    ];

    pub(super) fn number(self) -> u32 {
        self as u32
    }

    pub(super) fn of(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// How many bytes an element has.
    pub fn element_size(self) -> usize {
        match self {
            Self::Int8Array
            | Self::Uint8Array
            | Self::Uint8ClampedArray
            | Self::DataView
            | Self::Buffer => 1,
            Self::Int16Array | Self::Uint16Array | Self::Float16Array => 2,
            Self::Int32Array | Self::Uint32Array | Self::Float32Array => 4,
            Self::Float64Array | Self::BigInt64Array | Self::BigUint64Array => 8,
        }
    }
}

/// A `Buffer`, a typed array or a `DataView`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    kind: ViewKind,
    /// Whole elements, in the machine's byte order.
    bytes: Vec<u8>,
}

impl View {
    /// A view of these bytes, in the machine's byte order; `None` unless they are whole
    /// elements.
    pub fn new(kind: ViewKind, bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        bytes.len().is_multiple_of(kind.element_size()).then_some(Self { kind, bytes })
    }

    /// Of a kind whose elements are bytes.
    pub(super) fn bytewise(kind: ViewKind, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(kind.element_size(), 1);
        Self { kind, bytes }
    }

    /// What it is in JavaScript.
    pub fn kind(&self) -> ViewKind {
        self.kind
    }

    /// Its bytes, in the machine's byte order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its elements as numbers; `None` if they are no numbers, or the bytes of a `DataView`.
    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        Some(match self.kind {
            ViewKind::Int8Array => self.elements(|[byte]| f64::from(byte as i8)),
            ViewKind::Uint8Array | ViewKind::Uint8ClampedArray | ViewKind::Buffer => {
                self.elements(|[byte]| f64::from(byte))
            }
            ViewKind::Int16Array => self.elements(|bytes| i16::from_ne_bytes(bytes).into()),
            ViewKind::Uint16Array => self.elements(|bytes| u16::from_ne_bytes(bytes).into()),
            ViewKind::Int32Array => self.elements(|bytes| i32::from_ne_bytes(bytes).into()),
            ViewKind::Uint32Array => self.elements(|bytes| u32::from_ne_bytes(bytes).into()),
            ViewKind::Float16Array => self.elements(|bytes| half(u16::from_ne_bytes(bytes))),
            ViewKind::Float32Array => self.elements(|bytes| f32::from_ne_bytes(bytes).into()),
            ViewKind::Float64Array => self.elements(f64::from_ne_bytes),
            ViewKind::DataView | ViewKind::BigInt64Array | ViewKind::BigUint64Array => return None,
        })
    }

    fn elements<const SIZE: usize>(&self, number: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
        self.bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
    }
}

/// The value of a number of sixteen bits.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_nodes() {
        for (number, kind) in (0..).zip(ViewKind::ALL) {
            assert_eq!(kind.number(), number);
            assert_eq!(ViewKind::of(number), Some(kind));
        }
        assert_eq!(ViewKind::of(14), None);
        assert_eq!(ViewKind::of(u32::MAX), None);
    }

    #[test]
    fn elements_are_whole() {
        assert_eq!(View::new(ViewKind::Float64Array, [0; 12]), None);
        assert!(View::new(ViewKind::Float64Array, [0; 16]).is_some());
    }

    #[test]
    fn numbers_of_sixteen_bits() {
        let cases = [(0x3c00, 1.0), (0xc100, -2.5), (0x0001, 2_f64.powi(-24)), (0x7bff, 65504.0)];
        for (bits, value) in cases {
            assert_eq!(half(bits), value);
        }
        assert_eq!(half(0xfc00), f64::NEG_INFINITY);
        assert!(half(0x7e00).is_nan());
    }
}
