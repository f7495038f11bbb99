//! Spans of time as people write them: `10s`, `500ms`, `2m`, `1h`.

use std::time::Duration;

/// Parses a number with a unit; without one it counts seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; write ms, s, m or h, such as 10s")),
    };
    let number: f64 = number.parse().map_err(|_| "write a number and a unit, such as 10s")?;
    Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|_| "that is too long".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_and_without_a_unit() {
        for (text, ms) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1.5", 1_500)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "10x", "1.2.3", "-1s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
