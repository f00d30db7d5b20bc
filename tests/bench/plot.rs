//! Line charts as SVG, readable on light and dark pages.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

pub struct Chart {
    pub title: String,
    pub x: String,
    pub y: String,
    /// Both axes are logarithmic: powers are straight lines.
    pub is_logarithmic: bool,
    pub lines: Vec<Series>,
}

impl Chart {
    /// `None` if there are not two points to draw a line between.
    pub fn to_svg(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        if self.lines.iter().all(|line| line.points.len() < 2) {
            return None;
        }
        let x = Axis::over(points().map(|point| point.0), self.is_logarithmic)?;
        let y = Axis::over(points().map(|point| point.1), self.is_logarithmic)?;
        let across = |value: f64| LEFT + x.share(value) * (WIDTH - LEFT - RIGHT);
        let up = |value: f64| HEIGHT - BOTTOM - y.share(value) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        text(&mut svg, (LEFT, 20.0), "start", "#222222", &self.title);
        text(&mut svg, ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0), "middle", "#444444", &self.x);
        text(&mut svg, (8.0, TOP - 2.0), "start", "#444444", &self.y);
        for tick in x.ticks() {
            line(&mut svg, &[(across(tick), TOP), (across(tick), HEIGHT - BOTTOM)], "#dddddd", 1.0);
            text(&mut svg, (across(tick), HEIGHT - BOTTOM + 16.0), "middle", "#444444", &label(tick));
        }
        for tick in y.ticks() {
            line(&mut svg, &[(LEFT, up(tick)), (WIDTH - RIGHT, up(tick))], "#dddddd", 1.0);
            text(&mut svg, (LEFT - 6.0, up(tick) + 4.0), "end", "#444444", &label(tick));
        }
        for (number, drawn) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let path: Vec<(f64, f64)> = drawn.points.iter().map(|point| (across(point.0), up(point.1))).collect();
            line(&mut svg, &path, colour, 2.0);
            text(&mut svg, (WIDTH - RIGHT + 10.0, TOP + 16.0 * (number as f64 + 1.0)), "start", colour, &drawn.name);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

struct Axis {
    from: f64,
    to: f64,
    /// Between two ticks; on a logarithmic axis they are a power of ten apart.
    step: f64,
    is_logarithmic: bool,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, is_logarithmic: bool) -> Option<Self> {
        let values: Vec<f64> = values.filter(|value| !is_logarithmic || *value > 0.0).collect();
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        let most = values.iter().copied().max_by(f64::total_cmp)?;
        if is_logarithmic {
            let (from, to) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
            return Some(Self { from, to: to.max(from * 10.0), step: 10.0, is_logarithmic });
        }
        // Values close together far from zero, such as times after an hour, are shown without the distance to zero.
        let from = if least > most / 4.0 { least } else { 0.0 };
        let step = step(most - from);
        Some(Self {
            from: (from / step).floor() * step,
            to: (most / step).ceil().max(1.0) * step,
            step,
            is_logarithmic,
        })
    }

    fn share(&self, value: f64) -> f64 {
        if self.is_logarithmic {
            return (value.max(self.from) / self.from).log10() / (self.to / self.from).log10();
        }
        (value - self.from) / (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            let decades = (self.to / self.from).log10().round() as i32;
            return (0..=decades).map(|decade| self.from * 10_f64.powi(decade)).collect();
        }
        let count = ((self.to - self.from) / self.step).round() as i32;
        (0..=count).map(|number| self.from + f64::from(number) * self.step).collect()
    }
}

/// 1, 2 or 5 times a power of ten: four to ten of them reach the top.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most.max(1e-9) / 4.0).log10().floor());
    let fits = |multiple: f64| most / (multiple * power) >= 4.0;
    [5.0, 2.0].into_iter().find(|multiple| fits(*multiple)).unwrap_or(1.0) * power
}

/// Of a tick, which is round.
fn label(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a String cannot fail.
    let _written =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{content}</text>");
}

fn line(svg: &mut String, points: &[(f64, f64)], colour: &str, width: f64) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let points = points.join(" ");
    let _written =
        writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, is_logarithmic: bool) -> Chart {
        let lines = vec![Series { name: "a < b".to_owned(), points }];
        Chart { title: "T".to_owned(), x: "x".to_owned(), y: "y".to_owned(), is_logarithmic, lines }
    }

    #[test]
    fn a_power_is_a_straight_line_from_corner_to_corner() {
        let svg = chart(vec![(100.0, 0.1), (1000.0, 1.0), (10_000.0, 10.0)], true).to_svg().expect("it can be drawn");
        assert!(svg.contains("points=\"64.0,276.0 277.0,156.0 490.0,36.0\""), "{svg}");
        assert!(
            svg.contains(">a &lt; b</text>") && svg.contains(">10000</text>") && svg.contains(">0.1</text>"),
            "{svg}"
        );
    }

    #[test]
    fn one_point_is_no_line() {
        assert_eq!(chart(vec![(100.0, 0.1)], true).to_svg(), None);
    }

    #[test]
    fn ticks_are_round_and_reach_beyond_what_is_shown() {
        let axis = Axis::over([203.0, 236.0].into_iter(), false).expect("there are values");
        assert_eq!(axis.ticks(), [200.0, 205.0, 210.0, 215.0, 220.0, 225.0, 230.0, 235.0, 240.0]);
        assert_eq!(Axis::over([0.0, 13.0].into_iter(), false).map(|axis| axis.ticks().len()), Some(8));
    }
}
