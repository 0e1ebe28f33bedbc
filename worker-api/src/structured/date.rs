//! A `Date` as `toISOString` writes it.

const MILLISECONDS_A_DAY: i64 = 86_400_000;

/// The largest `Date`, 100,000,000 days from 1970, in milliseconds.
const LAST: f64 = 8.64e15;

/// `2001-09-09T01:46:40.000Z`; `None` for the invalid `Date`.
pub(super) fn to_iso(milliseconds: f64) -> Option<String> {
    if milliseconds.is_nan() || milliseconds.abs() > LAST {
        return None;
    }
    let milliseconds = milliseconds as i64;
    let (year, month, day) = calendar(milliseconds.div_euclid(MILLISECONDS_A_DAY));
    let time = milliseconds.rem_euclid(MILLISECONDS_A_DAY);
    let (hours, minutes) = (time / 3_600_000, time / 60_000 % 60);
    let (seconds, rest) = (time / 1000 % 60, time % 1000);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    Some(format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{rest:03}Z"))
}

/// Year, month and day of a day counted from 1970.
fn calendar(day: i64) -> (i64, i64, i64) {
    // Years are taken to begin in March, so that a leap day is their last, and to go by 400,
    // which always have the same number of days.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `new Date(…).toISOString()` says in Node.
    #[test]
    fn dates_are_nodes() {
        for (milliseconds, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (-1.0, "1969-12-31T23:59:59.999Z"),
            (1e12, "2001-09-09T01:46:40.000Z"),
            (951_782_400_000.0, "2000-02-29T00:00:00.000Z"),
            (8.64e15, "+275760-09-13T00:00:00.000Z"),
            (-8.64e15, "-271821-04-20T00:00:00.000Z"),
            (-62_198_755_200_000.0, "-000001-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(to_iso(milliseconds).as_deref(), Some(text));
        }
        for invalid in [f64::NAN, f64::INFINITY, 8.64e15 + 1.0] {
            assert_eq!(to_iso(invalid), None);
        }
    }
}
