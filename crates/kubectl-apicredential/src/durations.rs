//! Durations in the format of kubectl's ages.

use jiff::{SignedDuration, Timestamp};

/// The absolute difference of two times, such as `45s`, `3m10s`, `57m`, `2h5m`, `26h`, `6d`, `2y`.
pub fn between(from: Timestamp, to: Timestamp) -> String {
    format_duration(to.duration_since(from).abs())
}

/// `in 45s` or `3m ago`.
pub fn relative(time: Timestamp, now: Timestamp) -> String {
    let text = between(now, time);
    if time > now { format!("in {text}") } else { format!("{text} ago") }
}

/// The thresholds are those of kubectl (`k8s.io/apimachinery/pkg/util/duration`).
pub fn format_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: char, rest: i64, small: char| match rest {
        0 => format!("{large}{unit}"),
        rest => format!("{large}{unit}{rest}{small}"),
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ if days < 8 * 365 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_format_of_kubectl() {
        for (seconds, expected) in [
            (0, "0s"),
            (1, "1s"),
            (119, "119s"),
            (120, "2m"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (28_799, "7h59m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_199, "7d23h"),
            (691_200, "8d"),
            (29_823_918, "345d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(format_duration(SignedDuration::from_secs(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn a_relative_time_names_its_direction() {
        let now = Timestamp::constant(1_700_000_000, 0);
        let at = |seconds| now + SignedDuration::from_secs(seconds);
        assert_eq!(relative(at(45), now), "in 45s");
        assert_eq!(relative(at(-7200), now), "120m ago");
        assert_eq!(between(at(-5), at(5)), "10s");
    }
}
