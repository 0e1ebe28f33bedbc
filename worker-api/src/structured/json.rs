//! Between values and JSON.

use serde_json::{Map, Number, Value as Json};

use super::{NotJson, Primitive, SparseArray, Value, View, ViewKind, date};

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
        to_json(value, &mut { MOST_HOLES })
    }
}

fn to_json(value: &Value, holes: &mut usize) -> Result<Json, NotJson> {
    Ok(match value {
        Value::Undefined | Value::Null => Json::Null,
        Value::Bool(value) | Value::Boxed(Primitive::Bool(value)) => Json::Bool(*value),
        Value::Number(number) | Value::Boxed(Primitive::Number(number)) => number_to_json(*number),
        Value::BigInt(_) | Value::Boxed(Primitive::BigInt(_)) => return Err(NotJson::BigInt),
        Value::String(text) | Value::Boxed(Primitive::String(text)) => text.as_str().into(),
        Value::Date(milliseconds) => date::to_iso(*milliseconds).into(),
        Value::Object(entries) => {
            let mut object = Map::new();
            for (name, value) in entries {
                if !matches!(value, Value::Undefined) {
                    object.insert(name.clone(), to_json(value, holes)?);
                }
            }
            Json::Object(object)
        }
        Value::Array(elements) => {
            let elements = elements.iter().map(|element| to_json(element, holes));
            Json::Array(elements.collect::<Result<_, _>>()?)
        }
        Value::SparseArray(array) => sparse_to_json(array, holes)?,
        Value::View(view) => view_to_json(view)?,
        Value::RegExp(_)
        | Value::Map(_)
        | Value::Set(_)
        | Value::ArrayBuffer(_)
        | Value::Error(_) => Json::Object(Map::new()),
    })
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

fn sparse_to_json(array: &SparseArray, holes: &mut usize) -> Result<Json, NotJson> {
    let length = usize::try_from(array.length()).unwrap_or(usize::MAX);
    let missing = length.saturating_sub(array.elements().count());
    *holes = holes.checked_sub(missing).ok_or(NotJson::TooSparse)?;
    let mut elements = vec![Json::Null; length];
    for (place, value) in array.elements() {
        elements[place as usize] = to_json(value, holes)?;
    }
    Ok(Json::Array(elements))
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
