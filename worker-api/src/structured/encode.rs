//! From a value to bytes.

use std::collections::HashSet;

use super::{
    BigInt, DEEPEST, EncodeError, Exception, Primitive, SparseArray, Value, name::index, tag,
    writer::Writer,
};

type Result<T> = std::result::Result<T, EncodeError>;

/// V8 has no larger `BigInt`: 2³⁰ bits.
const MOST_DIGITS: usize = 1 << 24;

/// With fewer names it is faster to compare them one by one.
const FEW_NAMES: usize = 8;

/// Writes one value, as V8 writes it. A number that V8 happens to hold as a double it writes as
/// one even if it is an integer; here an integer of 32 bits is always written as such.
///
/// # Errors
///
/// [`EncodeError`] for what no Node process could read.
pub fn encode(value: &Value) -> Result<Vec<u8>> {
    encode_behind(Vec::new(), value)
}

/// Writes one value as Node's IPC has it: behind its length.
///
/// # Errors
///
/// As [`encode`].
pub fn frame(value: &Value) -> Result<Vec<u8>> {
    let mut bytes = encode_behind(vec![0; 4], value)?;
    // Node reads the length as a signed number.
    let length = i32::try_from(bytes.len() - 4).map_err(|_| EncodeError::TooLarge)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

fn encode_behind(mut bytes: Vec<u8>, value: &Value) -> Result<Vec<u8>> {
    bytes.extend([tag::VERSION, tag::LATEST]);
    let mut encoder = Encoder { writer: Writer::new(bytes), depth: 0 };
    encoder.value(value)?;
    Ok(encoder.writer.into_bytes())
}

struct Encoder {
    writer: Writer,
    depth: usize,
}

impl Encoder {
    fn value(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Undefined => self.writer.byte(tag::UNDEFINED),
            Value::Null => self.writer.byte(tag::NULL),
            Value::Bool(true) => self.writer.byte(tag::TRUE),
            Value::Bool(false) => self.writer.byte(tag::FALSE),
            Value::Number(number) => self.writer.number(*number),
            Value::BigInt(number) => return self.big_int(tag::BIG_INT, number),
            Value::String(text) => return self.writer.text(text),
            object => return self.nested(object),
        }
        Ok(())
    }

    fn nested(&mut self, object: &Value) -> Result<()> {
        if self.depth == DEEPEST {
            return Err(EncodeError::TooDeep);
        }
        self.depth += 1;
        self.object(object)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, object: &Value) -> Result<()> {
        match object {
            Value::Boxed(primitive) => self.boxed(primitive),
            Value::Date(milliseconds) => {
                self.writer.byte(tag::DATE);
                self.writer.double(*milliseconds);
                Ok(())
            }
            Value::RegExp(expression) => {
                self.writer.byte(tag::REG_EXP);
                self.writer.text(expression.source())?;
                self.writer.varint(expression.bits());
                Ok(())
            }
            Value::Object(entries) => {
                self.writer.byte(tag::OBJECT);
                self.properties(entries, tag::OBJECT_END)
            }
            Value::Array(elements) => self.array(elements),
            Value::SparseArray(array) => self.sparse_array(array),
            Value::Map(entries) => self.map(entries),
            Value::Set(members) => {
                self.writer.byte(tag::SET);
                members.iter().try_for_each(|member| self.value(member))?;
                self.writer.byte(tag::SET_END);
                self.writer.count(members.len())
            }
            Value::ArrayBuffer(bytes) => {
                self.writer.byte(tag::ARRAY_BUFFER);
                self.writer.bytes(bytes)
            }
            Value::View(view) => {
                self.writer.byte(tag::HOST_OBJECT);
                self.writer.varint(tag::HOST_VIEW);
                self.writer.varint(view.kind().number());
                self.writer.bytes(view.bytes())
            }
            Value::Error(error) => self.error(error),
            primitive => self.value(primitive),
        }
    }

    fn boxed(&mut self, primitive: &Primitive) -> Result<()> {
        match primitive {
            Primitive::Bool(true) => self.writer.byte(tag::TRUE_OBJECT),
            Primitive::Bool(false) => self.writer.byte(tag::FALSE_OBJECT),
            Primitive::Number(number) => {
                self.writer.byte(tag::NUMBER_OBJECT);
                self.writer.double(*number);
            }
            Primitive::BigInt(number) => return self.big_int(tag::BIG_INT_OBJECT, number),
            Primitive::String(text) => {
                self.writer.byte(tag::STRING_OBJECT);
                return self.writer.text(text);
            }
        }
        Ok(())
    }

    /// The sign is the lowest bit, the rest is the length in bytes.
    fn big_int(&mut self, tag: u8, number: &BigInt) -> Result<()> {
        let digits = number.digits();
        if digits.len() > MOST_DIGITS {
            return Err(EncodeError::TooLarge);
        }
        self.writer.byte(tag);
        self.writer.count(digits.len() << 4 | usize::from(number.is_negative()))?;
        digits.iter().for_each(|digit| self.writer.raw(&digit.to_le_bytes()));
        Ok(())
    }

    /// Names and values up to the end, which tells how many.
    fn properties(&mut self, entries: &[(String, Value)], end: u8) -> Result<()> {
        if let Some(name) = same_name(entries) {
            return Err(EncodeError::SameName(name.to_owned()));
        }
        for (name, value) in entries {
            match index(name) {
                Some(place) => self.writer.number(place.into()),
                None => self.writer.text(name)?,
            }
            self.value(value)?;
        }
        self.writer.byte(end);
        self.writer.count(entries.len())
    }

    fn array(&mut self, elements: &[Value]) -> Result<()> {
        self.writer.byte(tag::DENSE_ARRAY);
        self.writer.count(elements.len())?;
        elements.iter().try_for_each(|element| self.value(element))?;
        self.properties(&[], tag::DENSE_ARRAY_END)?;
        self.writer.count(elements.len())
    }

    fn sparse_array(&mut self, array: &SparseArray) -> Result<()> {
        // Every array has one already.
        if array.entries().iter().any(|(name, _)| name == "length") {
            return Err(EncodeError::SameName("length".to_owned()));
        }
        self.writer.byte(tag::SPARSE_ARRAY);
        self.writer.varint(array.length());
        self.properties(array.entries(), tag::SPARSE_ARRAY_END)?;
        self.writer.varint(array.length());
        Ok(())
    }

    fn map(&mut self, entries: &[(Value, Value)]) -> Result<()> {
        self.writer.byte(tag::MAP);
        for (key, value) in entries {
            self.value(key)?;
            self.value(value)?;
        }
        self.writer.byte(tag::MAP_END);
        self.writer.count(2 * entries.len())
    }

    fn error(&mut self, error: &Exception) -> Result<()> {
        self.writer.byte(tag::ERROR);
        if let Some(kind) = error.kind.tag() {
            self.writer.byte(kind);
        }
        if let Some(message) = &error.message {
            self.writer.byte(tag::ERROR_MESSAGE);
            self.writer.text(message)?;
        }
        if let Some(cause) = &error.cause {
            self.writer.byte(tag::ERROR_CAUSE);
            self.value(cause)?;
        }
        if let Some(stack) = &error.stack {
            self.writer.byte(tag::ERROR_STACK);
            self.writer.text(stack)?;
        }
        self.writer.byte(tag::ERROR_END);
        Ok(())
    }
}

/// A name that is there twice: V8 would refuse the whole message.
fn same_name(entries: &[(String, Value)]) -> Option<&str> {
    let mut names = entries.iter().map(|(name, _)| name.as_str());
    if entries.len() > FEW_NAMES {
        let mut seen = HashSet::with_capacity(entries.len());
        return names.find(|name| !seen.insert(*name));
    }
    let is_earlier = |(place, name): &(usize, &str)| {
        entries[..*place].iter().any(|(earlier, _)| earlier == name)
    };
    names.enumerate().find(is_earlier).map(|(_, name)| name)
}
