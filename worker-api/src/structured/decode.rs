//! From bytes to a value.

use super::{
    BigInt, DecodeError, Exception, ExceptionKind, Primitive, RegExp, SparseArray, Value, View,
    ViewKind, name, reader::Reader, references::References, tag,
};

type Result<T> = std::result::Result<T, DecodeError>;

/// How deep objects may be in one another.
pub const DEEPEST: usize = 200;

/// How many values a message may have, those that are there again counted each time.
pub const MOST_VALUES: usize = 1 << 24;

/// Reads one value.
///
/// # Errors
///
/// [`DecodeError`]: any bytes are safe to try.
pub fn decode(bytes: &[u8]) -> Result<Value> {
    Decoder::new(bytes).message()
}

/// An object as far as it can be read: the properties before the first that cannot.
pub(crate) fn beginning(bytes: &[u8]) -> Value {
    let mut entries = Vec::new();
    // The error is known: it is why only the beginning is asked for.
    let _ = Decoder::new(bytes).first_properties(&mut entries);
    Value::Object(entries)
}

struct Decoder<'a> {
    reader: Reader<'a>,
    references: References,
    depth: usize,
    values_left: usize,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
            references: References::new(bytes.len()),
            depth: 0,
            values_left: MOST_VALUES,
        }
    }

    fn first_properties(&mut self, entries: &mut Vec<(String, Value)>) -> Result<()> {
        self.header()?;
        if !self.reader.skips(tag::OBJECT)? {
            return Ok(());
        }
        self.references.open(0);
        self.depth += 1;
        while !self.reader.skips(tag::OBJECT_END)? {
            let name = self.name()?;
            entries.push((name, self.value()?));
        }
        Ok(())
    }

    fn message(&mut self) -> Result<Value> {
        self.header()?;
        let value = self.value()?;
        match self.reader.remaining() {
            0 => Ok(value),
            _ => Err(DecodeError::Trailing),
        }
    }

    fn header(&mut self) -> Result<()> {
        let known = self.reader.byte() == Ok(tag::VERSION)
            && self
                .reader
                .varint()
                .is_ok_and(|version| (tag::OLDEST.into()..=tag::LATEST.into()).contains(&version));
        if known { Ok(()) } else { Err(DecodeError::Header) }
    }

    fn value(&mut self) -> Result<Value> {
        self.values_left = self.values_left.checked_sub(1).ok_or(DecodeError::TooLarge)?;
        self.references.count()?;
        let start = self.reader.position();
        let tag = self.reader.tag()?;
        if let Some(text) = self.reader.text(tag) {
            return text.map(Value::String);
        }
        Ok(match tag {
            tag::UNDEFINED => Value::Undefined,
            tag::NULL => Value::Null,
            tag::TRUE => Value::Bool(true),
            tag::FALSE => Value::Bool(false),
            tag::INT32 => self.reader.zigzag()?.into(),
            tag::UINT32 => self.reader.varint()?.into(),
            tag::DOUBLE => self.reader.double()?.into(),
            tag::BIG_INT => self.big_int()?.into(),
            tag::REFERENCE => return self.repeated(),
            _ => return self.numbered(tag, start),
        })
    }

    /// An object that was there before.
    fn repeated(&mut self) -> Result<Value> {
        let number = self.reader.varint()?;
        let (start, from) = self.references.repeat(number, self.reader.position())?;
        self.reader.seek(start);
        let value = self.value()?;
        self.reader.seek(from.position);
        self.references.resume(&from);
        Ok(value)
    }

    /// An object: it has a number, by which it may be there again.
    fn numbered(&mut self, tag: u8, start: usize) -> Result<Value> {
        if self.depth == DEEPEST {
            return Err(DecodeError::TooDeep);
        }
        self.depth += 1;
        let number = self.references.open(start);
        let value = self.object(tag)?;
        self.references.close(number, self.reader.position());
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self, tag: u8) -> Result<Value> {
        match tag {
            tag::OBJECT => self.properties(tag::OBJECT_END).map(Value::Object),
            tag::DENSE_ARRAY => self.dense_array(),
            tag::SPARSE_ARRAY => self.sparse_array(),
            tag::MAP => self.map(),
            tag::SET => self.set(),
            tag::ERROR => self.error(),
            tag::HOST_OBJECT => self.host_object(),
            tag::DATE => self.reader.double().map(Value::Date),
            tag::REG_EXP => self.reg_exp(),
            tag::ARRAY_BUFFER => Ok(Value::ArrayBuffer(self.reader.bytes()?.into())),
            tag::RESIZABLE_ARRAY_BUFFER => self.resizable_array_buffer(),
            tag => self.boxed(tag).map(Value::Boxed),
        }
    }

    fn boxed(&mut self, tag: u8) -> Result<Primitive> {
        Ok(match tag {
            tag::TRUE_OBJECT => Primitive::Bool(true),
            tag::FALSE_OBJECT => Primitive::Bool(false),
            tag::NUMBER_OBJECT => Primitive::Number(self.reader.double()?),
            tag::BIG_INT_OBJECT => Primitive::BigInt(self.big_int()?),
            tag::STRING_OBJECT => Primitive::String(self.reader.any_text()?),
            tag => return Err(DecodeError::Tag(tag)),
        })
    }

    /// The sign is the lowest bit, the rest is the length in bytes.
    fn big_int(&mut self) -> Result<BigInt> {
        let head = self.reader.varint()?;
        Ok(BigInt::from_bytes(head & 1 == 1, self.reader.take(head >> 1)?))
    }

    fn reg_exp(&mut self) -> Result<Value> {
        let source = self.reader.any_text()?;
        let expression = RegExp::from_bits(source, self.reader.varint()?);
        expression.map(Value::RegExp).ok_or(DecodeError::Malformed("the flags of a RegExp"))
    }

    /// Its size, the most that it may grow to, and its bytes.
    fn resizable_array_buffer(&mut self) -> Result<Value> {
        let length = self.reader.varint()?;
        if self.reader.varint()? < length {
            return Err(DecodeError::Malformed("the size of an ArrayBuffer"));
        }
        Ok(Value::ArrayBuffer(self.reader.take(length)?.into()))
    }

    /// Names and values up to the end, which tells how many.
    fn properties(&mut self, end: u8) -> Result<Vec<(String, Value)>> {
        let mut entries = Vec::new();
        while !self.reader.skips(end)? {
            let name = self.name()?;
            entries.push((name, self.value()?));
        }
        self.check_count(entries.len())?;
        Ok(entries)
    }

    fn name(&mut self) -> Result<String> {
        let tag = self.reader.tag()?;
        if let Some(text) = self.reader.text(tag) {
            return text;
        }
        let number = match tag {
            tag::INT32 => self.reader.zigzag()?.into(),
            tag::UINT32 => self.reader.varint()?.into(),
            tag::DOUBLE => self.reader.double()?,
            _ => return Err(DecodeError::Malformed("the name of a property")),
        };
        name::of_number(number).ok_or(DecodeError::Malformed("the name of a property"))
    }

    fn check_count(&mut self, count: usize) -> Result<()> {
        let told = self.reader.varint()?;
        if usize::try_from(told) == Ok(count) {
            return Ok(());
        }
        Err(DecodeError::Malformed("a count"))
    }

    /// The length, the elements, other properties, and the length again.
    fn dense_array(&mut self) -> Result<Value> {
        let length = self.reader.varint()?;
        // No element is shorter than a byte. Room is taken as they come.
        if usize::try_from(length).is_ok_and(|length| length > self.reader.remaining()) {
            return Err(DecodeError::Truncated);
        }
        let mut elements = Vec::new();
        for _ in 0..length {
            let is_hole = self.reader.skips(tag::HOLE)?;
            elements.push(if is_hole { None } else { Some(self.value()?) });
        }
        let others = self.properties(tag::DENSE_ARRAY_END)?;
        self.check_length(length)?;
        if others.is_empty() && elements.iter().all(Option::is_some) {
            return Ok(Value::Array(elements.into_iter().flatten().collect()));
        }
        let places = (0_u32..).zip(elements);
        let mut entries: Vec<_> =
            places.filter_map(|(place, value)| Some((place.to_string(), value?))).collect();
        entries.extend(others);
        Ok(SparseArray::new(length, entries).simplify())
    }

    /// The length, elements and other properties by name, and the length again.
    fn sparse_array(&mut self) -> Result<Value> {
        let length = self.reader.varint()?;
        let entries = self.properties(tag::SPARSE_ARRAY_END)?;
        self.check_length(length)?;
        Ok(SparseArray::new(length, entries).simplify())
    }

    fn check_length(&mut self, length: u32) -> Result<()> {
        if self.reader.varint()? == length {
            return Ok(());
        }
        Err(DecodeError::Malformed("the length of an array"))
    }

    fn map(&mut self) -> Result<Value> {
        let mut entries = Vec::new();
        while !self.reader.skips(tag::MAP_END)? {
            let key = self.value()?;
            entries.push((key, self.value()?));
        }
        self.check_count(2 * entries.len())?;
        Ok(Value::Map(entries))
    }

    fn set(&mut self) -> Result<Value> {
        let mut members = Vec::new();
        while !self.reader.skips(tag::SET_END)? {
            members.push(self.value()?);
        }
        self.check_count(members.len())?;
        Ok(Value::Set(members))
    }

    /// Its parts, in an order that differs between V8's versions.
    fn error(&mut self) -> Result<Value> {
        let mut error = Exception::default();
        loop {
            match self.reader.byte()? {
                tag::ERROR_MESSAGE => error.message = Some(self.reader.any_text()?),
                tag::ERROR_CAUSE => error.cause = Some(self.value()?),
                tag::ERROR_STACK => error.stack = Some(self.reader.any_text()?),
                tag::ERROR_END => return Ok(error.into()),
                kind => {
                    let unknown = DecodeError::Malformed("a part of an Error");
                    error.kind = ExceptionKind::of(kind).ok_or(unknown)?;
                }
            }
        }
    }

    /// What V8 leaves to Node.
    fn host_object(&mut self) -> Result<Value> {
        match self.reader.varint()? {
            tag::HOST_VIEW => self.view().map(Value::View),
            tag::HOST_COPY => self.value(),
            _ => Err(DecodeError::Malformed("a native object")),
        }
    }

    fn view(&mut self) -> Result<View> {
        let kind = ViewKind::of(self.reader.varint()?);
        let kind = kind.ok_or(DecodeError::Malformed("the kind of a view"))?;
        let view = View::new(kind, self.reader.bytes()?);
        view.ok_or(DecodeError::Malformed("the length of a view"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted() {
        let bytes = b"\xff\x0f;'TT,\x02o\"\x01a^\x01{\x01:\x02";
        let within = |values_left| {
            let references = References::new(bytes.len());
            Decoder { reader: Reader::new(bytes), references, depth: 0, values_left }.message()
        };
        // The map, its set of two, and once more, in its object.
        assert!(within(9).is_ok());
        assert_eq!(within(8), Err(DecodeError::TooLarge));
    }
}
