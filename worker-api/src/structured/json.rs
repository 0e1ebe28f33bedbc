//! Between values and JSON.

use serde_json::{Map, Number, Value as Json};

use super::{BigInt, NotJson, Primitive, SparseArray, Value, View, ViewKind, date};

/// So many holes of all arrays together are written as `null`.
const MOST_HOLES: usize = 1 << 20;

/// As `JSON.parse` reads it: an integer beyond 2⁵³ becomes the nearest number.
impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::String(text),
            Json::Array(elements) => Self::Array(elements.into_iter().map(Self::from).collect()),
            Json::Object(entries) => {
                let entries = entries.into_iter().map(|(name, value)| (name, value.into()));
                Self::Object(entries.collect())
            }
        }
    }
}

/// As `JSON.stringify` writes it, which loses much:
///
/// - `undefined` is left out of an object and `null` elsewhere;
/// - `NaN` and the infinities are `null`, `-0` is `0`;
/// - a `Date` is its ISO text, `null` if it is invalid; a primitive in an object is itself;
/// - a `Buffer` is `{"type":"Buffer","data":[…]}`, a typed array an object of its elements by
///   number;
/// - a `Map`, a `Set`, a `RegExp`, an `Error`, an `ArrayBuffer` and a `DataView` are `{}`;
/// - a hole is `null`, and other properties of an array are left out.
///
/// Numbers without a fraction become integers if they fit.
///
/// # Errors
///
/// [`NotJson::BigInt`] if there is one, also as an element of a typed array;
/// [`NotJson::TooSparse`] with more than 2²⁰ holes.
impl TryFrom<&Value> for Json {
    type Error = NotJson;

    fn try_from(value: &Value) -> Result<Self, NotJson> {
        Writer { holes: MOST_HOLES, lenient: false }.value(value)
    }
}

impl Value {
    /// What JSON can say of it: as [`TryFrom`] for [`serde_json::Value`], but bytes, typed arrays
    /// and arrays with too many holes are `null`, and so is a `BigInt`, unless it fits an `i64`
    /// or a `u64`. So it never takes much more room than this value does.
    pub fn to_json(&self) -> Json {
        Writer { holes: MOST_HOLES, lenient: true }.value(self).unwrap_or_default()
    }
}

struct Writer {
    /// How many more may become `null`.
    holes: usize,
    /// Whether what JSON cannot say is `null`, not an error.
    lenient: bool,
}

impl Writer {
    fn value(&mut self, value: &Value) -> Result<Json, NotJson> {
        Ok(match value {
            Value::Undefined | Value::Null => Json::Null,
            Value::Bool(value) | Value::Boxed(Primitive::Bool(value)) => Json::Bool(*value),
            Value::Number(number) | Value::Boxed(Primitive::Number(number)) => {
                number_to_json(*number)
            }
            Value::BigInt(number) | Value::Boxed(Primitive::BigInt(number)) => {
                return self.big_int(number);
            }
            Value::String(text) | Value::Boxed(Primitive::String(text)) => text.as_str().into(),
            Value::Date(milliseconds) => date::to_iso(*milliseconds).into(),
            Value::Object(entries) => {
                let mut object = Map::new();
                for (name, value) in entries {
                    if !matches!(value, Value::Undefined) {
                        object.insert(name.clone(), self.value(value)?);
                    }
                }
                Json::Object(object)
            }
            Value::Array(elements) => {
                let elements = elements.iter().map(|element| self.value(element));
                Json::Array(elements.collect::<Result<_, _>>()?)
            }
            Value::SparseArray(array) => return self.sparse(array),
            Value::View(_) if self.lenient => Json::Null,
            Value::View(view) => view_to_json(view)?,
            Value::ArrayBuffer(_) if self.lenient => Json::Null,
            Value::RegExp(_)
            | Value::Map(_)
            | Value::Set(_)
            | Value::ArrayBuffer(_)
            | Value::Error(_) => Json::Object(Map::new()),
        })
    }

    fn big_int(&self, number: &BigInt) -> Result<Json, NotJson> {
        if !self.lenient {
            return Err(NotJson::BigInt);
        }
        let signed = i64::try_from(number).map(Json::from);
        Ok(signed.or_else(|_| u64::try_from(number).map(Json::from)).unwrap_or_default())
    }

    fn sparse(&mut self, array: &SparseArray) -> Result<Json, NotJson> {
        let length = usize::try_from(array.length()).unwrap_or(usize::MAX);
        let missing = length.saturating_sub(array.elements().count());
        match self.holes.checked_sub(missing) {
            Some(left) => self.holes = left,
            None if self.lenient => return Ok(Json::Null),
            None => return Err(NotJson::TooSparse),
        }
        let mut elements = vec![Json::Null; length];
        for (place, value) in array.elements() {
            elements[place as usize] = self.value(value)?;
        }
        Ok(Json::Array(elements))
    }
}

fn number_to_json(number: f64) -> Json {
    let (signed, unsigned) = (number as i64, number as u64);
    // The bounds themselves are rounded up, so a cast that stops there is not the number.
    if signed as f64 == number && signed != i64::MAX {
        return signed.into();
    }
    if unsigned as f64 == number && unsigned != u64::MAX {
        return unsigned.into();
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

fn view_to_json(view: &View) -> Result<Json, NotJson> {
    if matches!(view.kind(), ViewKind::BigInt64Array | ViewKind::BigUint64Array)
        && !view.bytes().is_empty()
    {
        return Err(NotJson::BigInt);
    }
    let numbers = view.numbers().unwrap_or_default().into_iter().map(number_to_json);
    let mut object = Map::new();
    if view.kind() == ViewKind::Buffer {
        object.insert("type".into(), "Buffer".into());
        object.insert("data".into(), numbers.collect());
    } else {
        object.extend((0_u32..).zip(numbers).map(|(place, number)| (place.to_string(), number)));
    }
    Ok(Json::Object(object))
}
