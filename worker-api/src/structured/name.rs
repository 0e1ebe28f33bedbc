//! The names of properties: some are numbers to V8.

/// The place that a name means in an array: V8 writes these as numbers.
pub(super) fn index(name: &str) -> Option<u32> {
    let digits = name.as_bytes();
    let canonical = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 10 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    name.parse().ok().filter(|&place| place != u32::MAX)
}

/// The name that a number means; `None` for numbers that V8 never writes as a name.
pub(super) fn of_number(number: f64) -> Option<String> {
    let place = number as u32;
    (f64::from(place) == number).then(|| place.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_in_one_way() {
        assert_eq!(index("0"), Some(0));
        assert_eq!(index("4294967294"), Some(u32::MAX - 1));
        for name in ["", "00", "01", "-1", "+1", "1.0", "4294967295", "99999999999", "x", "１"] {
            assert_eq!(index(name), None, "{name}");
        }
    }

    #[test]
    fn numbers_are_names() {
        assert_eq!(of_number(-0.0).as_deref(), Some("0"));
        assert_eq!(of_number(4294967294.0).as_deref(), Some("4294967294"));
        for number in [-1.0, 1.5, f64::NAN, 4294967296.0, f64::INFINITY] {
            assert_eq!(of_number(number), None, "{number}");
        }
    }
}
