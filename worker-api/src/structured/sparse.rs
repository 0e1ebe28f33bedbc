//! An array with holes.

use super::{Value, name::index};

/// An array with holes, or one with properties besides its elements (as what `match` returns).
///
/// No room is taken for the holes, however many there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseArray {
    length: u32,
    entries: Vec<(String, Value)>,
}

impl SparseArray {
    /// An array of this length, or longer if an element needs it. Names like `7` are elements,
    /// others properties; `length` is not to be one.
    pub fn new(length: u32, entries: Vec<(String, Value)>) -> Self {
        let needed = entries.iter().filter_map(|(name, _)| index(name)).max();
        let length = length.max(needed.map_or(0, |last| last + 1));
        Self { length, entries }
    }

    /// A [`Value::Array`] if it is one after all.
    pub(super) fn simplify(self) -> Value {
        let is_dense = u32::try_from(self.entries.len()) == Ok(self.length)
            && (0..).zip(&self.entries).all(|(place, (name, _))| index(name) == Some(place));
        if is_dense {
            return Value::Array(self.entries.into_iter().map(|(_, value)| value).collect());
        }
        Value::SparseArray(self)
    }

    /// Its `length`, holes and all.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The elements and the properties, as they were given.
    pub fn entries(&self) -> &[(String, Value)] {
        &self.entries
    }

    /// The elements and the properties, without a copy.
    pub fn into_entries(self) -> Vec<(String, Value)> {
        self.entries
    }

    /// The elements, each with its place, as they were given.
    pub fn elements(&self) -> impl Iterator<Item = (u32, &Value)> {
        self.entries.iter().filter_map(|(name, value)| Some((index(name)?, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_long_as_its_elements_need() {
        let array = SparseArray::new(1, vec![("x".into(), Value::Null), ("6".into(), 5.into())]);
        assert_eq!(array.length(), 7);
        assert_eq!(array.elements().collect::<Vec<_>>(), [(6, &Value::Number(5.0))]);
        let last = SparseArray::new(0, vec![("4294967294".into(), Value::Null)]);
        assert_eq!(last.length(), u32::MAX);
        assert_eq!(SparseArray::new(0, vec![("4294967295".into(), Value::Null)]).length(), 0);
    }
}
