//! Plots as inline SVG: lines over time, and distributions over a logarithmic axis of time.
//!
//! Colours come from classes, so that a page can show them in the light and in the dark; each line has a dash of its own too, for those who do not
//! tell colours apart. No scripts.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 310.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 44.0;
/// Colours, and dashes, there are.
pub const COLOURS: usize = 8;
/// Dashes of the lines, in order.
const DASHES: [&str; COLOURS] = ["none", "7 3", "2 3", "10 3 2 3", "none", "7 3", "2 3", "10 3 2 3"];
/// Of the width, between two names on a logarithmic axis.
const LOG_STEP: f64 = 0.075;
/// Points of a line beyond which neighbours are joined.
const POINTS_MAX: usize = 480;

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Which colour.
    pub colour: usize,
    /// x (seconds) and y.
    pub points: Vec<(f64, f64)>,
}

/// A time that is shaded.
#[derive(Debug, Clone)]
pub struct Shade {
    /// From and to, in seconds.
    pub span: (f64, f64),
    /// What it is.
    pub name: String,
}

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// What is seen.
    pub title: String,
    /// The same in a sentence, for those who do not see it.
    pub description: String,
    /// Unit of y.
    pub unit: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// Shaded times.
    pub shades: Vec<Shade>,
    /// x is a duration on a logarithmic axis, y a part of one.
    pub distribution: bool,
}

/// Style of a picture that stands alone.
pub const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-size:14px;font-weight:600}.g{stroke:#d0d7de;stroke-width:1}.a{stroke:#57606a;stroke-width:1}\
.s{fill:#57606a;opacity:.13}.l{fill:none;stroke-width:2;stroke-linejoin:round}.c0{stroke:#0b62a8}.c1{stroke:#c2410c}.c2{stroke:#0f7b55}.c3{stroke:#a02b7c}.c4{stroke:#8a6100}.c5{stroke:#2b8ca6}.c6{stroke:#6d48c4}.c7{stroke:#57606a}\
.bg{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.g{stroke:#30363d}.a,.s{stroke:#8b949e}.s{fill:#8b949e;stroke:none;opacity:.2}.c0{stroke:#6cb6ff}.c1{stroke:#ff9057}.c2{stroke:#4fd1a1}.c3{stroke:#f29bd4}.c4{stroke:#e8c14a}.c5{stroke:#7fdbee}.c6{stroke:#bea6ff}.c7{stroke:#adb5bd}.bg{fill:#0d1117}}";

impl Plot {
    /// As SVG; `alone`: with its own style, to be a file.
    #[must_use]
    pub fn svg(&self, alone: bool, id: &str) -> String {
        let rows = self.legend_rows();
        let height = HEIGHT + 20.0 * rows.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            escape(&self.title),
            escape(&self.description)
        );
        if alone {
            _ = write!(svg, "<style>{STYLE}</style><rect class=\"bg\" width=\"100%\" height=\"100%\"/>");
        }
        _ = writeln!(svg, "<text class=\"t\" x=\"{LEFT}\" y=\"16\">{}</text>", escape(&self.title));
        let frame = self.frame();
        self.shade(&mut svg, &frame);
        frame.grid(&mut svg, &self.unit);
        for line in &self.lines {
            let points = thin(&line.points);
            let mut path = String::new();
            for (x, y) in points {
                _ = write!(path, "{:.1},{:.1} ", frame.x(x), frame.y(y));
            }
            _ = writeln!(
                svg,
                "<polyline class=\"l c{}\" stroke-dasharray=\"{}\" points=\"{}\"/>",
                line.colour % COLOURS,
                DASHES[line.colour % COLOURS],
                path.trim_end()
            );
        }
        self.legend(&mut svg, &rows);
        svg.push_str("</svg>\n");
        svg
    }

    fn frame(&self) -> Frame {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(0.0, f64::max);
        if self.distribution {
            let least = all().map(|point| point.0).filter(|x| *x > 0.0).fold(f64::INFINITY, f64::min);
            let least = if least.is_finite() { least.max(0.05) } else { 1.0 };
            return Frame {
                x: Axis::log(least, most(|point| point.0).max(least * 10.0)),
                y: Axis::linear(1.0),
            };
        }
        // Room above the lines for the names of what is shaded.
        let room = if self.shades.is_empty() { 1.0 } else { 1.15 };
        Frame { x: Axis::time(most(|point| point.0)), y: Axis::linear(room * most(|point| point.1).max(1.0)) }
    }

    fn shade(&self, svg: &mut String, frame: &Frame) {
        let mut row = 0;
        let mut right: f64 = 0.0;
        for shade in &self.shades {
            let (from, to) = (frame.x(shade.span.0), frame.x(shade.span.1.min(frame.x.most)));
            if to <= from {
                continue;
            }
            _ = writeln!(
                svg,
                "<rect class=\"s\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                to - from,
                HEIGHT - TOP - BOTTOM
            );
            // Names that would meet stand below one another.
            row = if from < right { row + 1 } else { 0 };
            let wide = shade.name.chars().count() as f64 * 6.4;
            let at = (from + 4.0).min(WIDTH - RIGHT - wide);
            right = at + wide;
            let below = TOP + 13.0 + 14.0 * f64::from(row);
            _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{below:.1}\">{}</text>", escape(&shade.name));
        }
    }

    /// Names of lines in rows that fit.
    fn legend_rows(&self) -> Vec<Vec<&Line>> {
        let mut rows: Vec<Vec<&Line>> = Vec::new();
        let mut room = 0.0;
        for line in self.lines.iter().filter(|_| self.lines.len() > 1) {
            let wide = legend_width(line);
            match rows.last_mut() {
                Some(row) if room >= wide => row.push(line),
                _ => {
                    rows.push(vec![line]);
                    room = WIDTH - LEFT - RIGHT;
                }
            }
            room -= wide;
        }
        rows
    }

    fn legend(&self, svg: &mut String, rows: &[Vec<&Line>]) {
        for (number, row) in rows.iter().enumerate() {
            let y = HEIGHT + 12.0 + 20.0 * number as f64;
            let mut x = LEFT;
            for line in row {
                let colour = line.colour % COLOURS;
                _ = writeln!(
                    svg,
                    "<path class=\"l c{colour}\" stroke-dasharray=\"{}\" d=\"M{x:.0} {:.0}h26\"/><text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
                    DASHES[colour],
                    y - 4.0,
                    x + 32.0,
                    escape(&line.name)
                );
                x += legend_width(line);
            }
        }
    }
}

fn legend_width(line: &Line) -> f64 {
    32.0 + line.name.chars().count() as f64 * 7.0 + 18.0
}

/// Neighbours of too many are joined; the highest of them stays.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |chunk: &[(f64, f64)]| chunk.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(step).filter_map(highest).collect()
}

struct Frame {
    x: Axis,
    y: Axis,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn grid(&self, svg: &mut String, unit: &str) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, name) in &self.y.ticks {
            let y = self.y(*value);
            _ = writeln!(
                svg,
                "<path class=\"g\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (value, name) in &self.x.ticks {
            let x = self.x(*value);
            _ = writeln!(
                svg,
                "<path class=\"g\" d=\"M{x:.1} {TOP}V{bottom}\"/><text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{name}</text>",
                bottom + 16.0
            );
        }
        let words = if self.x.logarithmic {
            "time from acceptance to delivery (logarithmic)"
        } else {
            "time since the beginning"
        };
        _ = writeln!(
            svg,
            "<path class=\"a\" fill=\"none\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{words}</text>\
             <text x=\"{LEFT}\" y=\"{:.0}\">{}</text>",
            f64::midpoint(LEFT, right),
            bottom + 34.0,
            TOP - 9.0,
            escape(unit)
        );
    }
}

struct Axis {
    least: f64,
    most: f64,
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            ((value.max(self.least) / self.least).ln() / (self.most / self.least).ln()).clamp(0.0, 1.0)
        } else {
            ((value - self.least) / (self.most - self.least)).clamp(0.0, 1.0)
        }
    }

    /// From 0, with about five ticks at round numbers.
    fn linear(most: f64) -> Self {
        let rough = most / 5.0;
        let decade = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let most = (most / step).ceil() * step;
        let count = (most / step).round() as u32;
        let ticks =
            (0..=count).map(|number| f64::from(number) * step).map(|value| (value, plain(value, step)));
        Self { least: 0.0, most, logarithmic: false, ticks: ticks.collect() }
    }

    /// Time from 0, with ticks at round times.
    fn time(most: f64) -> Self {
        const STEPS: [f64; 17] = [
            60.0,
            120.0,
            300.0,
            600.0,
            900.0,
            1_800.0,
            3_600.0,
            7_200.0,
            10_800.0,
            21_600.0,
            43_200.0,
            86_400.0,
            172_800.0,
            432_000.0,
            864_000.0,
            2_592_000.0,
            7_776_000.0,
        ];
        let most = most.max(60.0);
        let step = STEPS.into_iter().find(|step| most / step <= 13.0).unwrap_or(STEPS[16]);
        let count = (most / step).floor() as u32;
        let ticks = (0..=count).map(|number| f64::from(number) * step).map(|value| (value, human(value)));
        Self { least: 0.0, most, logarithmic: false, ticks: ticks.collect() }
    }

    fn log(least: f64, most: f64) -> Self {
        const TICKS: [f64; 16] = [
            0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 1_200.0, 3_600.0, 14_400.0, 43_200.0,
            172_800.0, 432_000.0,
        ];
        let mut axis = Self { least, most, logarithmic: true, ticks: Vec::new() };
        let mut last = f64::NEG_INFINITY;
        for tick in TICKS.into_iter().filter(|tick| (least..=most).contains(tick)) {
            // Names that would touch are left out.
            if axis.place(tick) - last > LOG_STEP {
                last = axis.place(tick);
                axis.ticks.push((tick, human(tick)));
            }
        }
        axis
    }
}

fn plain(value: f64, step: f64) -> String {
    if step < 1.0 { format!("{value:.1}") } else { thousands(value) }
}

/// A whole number with thin spaces between its thousands.
#[must_use]
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len() - place;
        if place > 0 && left.is_multiple_of(3) && !out.ends_with('-') {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A time for people: the two largest units.
#[must_use]
pub fn human(seconds: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)];
    if seconds == 0.0 {
        return "0".to_owned();
    }
    if seconds < 1.0 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 10.0 && seconds.fract() > 0.05 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round();
    let place = UNITS.iter().position(|(_, unit)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (name, unit) = UNITS[place];
    let whole = (seconds / unit).floor();
    let rest = seconds - whole * unit;
    match UNITS.get(place + 1) {
        Some((smaller, size)) if (rest / size).round() >= 1.0 => {
            format!("{whole:.0} {name} {:.0} {smaller}", (rest / size).floor().max(1.0))
        }
        _ => format!("{whole:.0} {name}"),
    }
}

/// For text in a page.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_told_as_people_say_them() {
        assert_eq!(human(0.153), "153 ms");
        assert_eq!(human(2.5), "2.5 s");
        assert_eq!(human(95.0), "1 min 35 s");
        assert_eq!(human(21_600.0), "6 h");
        assert_eq!(human(90_000.0), "1 d 1 h");
        assert_eq!(thousands(1_234_567.0), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn an_axis_ends_at_a_round_number_above_all_values() {
        let axis = Axis::linear(1_234.0);
        assert_eq!(axis.most, 1_500.0);
        assert_eq!(axis.ticks.len(), 4);
        assert_eq!(axis.place(750.0), 0.5);
    }

    #[test]
    fn a_picture_has_a_title_and_a_description_and_closes_what_it_opens() {
        let line = Line { name: "a & b".to_owned(), colour: 9, points: vec![(0.0, 1.0), (3_600.0, 5.0)] };
        let plot = Plot {
            title: "Queue <all>".to_owned(),
            description: "It grows.".to_owned(),
            unit: "recipients".to_owned(),
            lines: vec![line.clone(), line],
            shades: vec![Shade { span: (600.0, 1_200.0), name: "down".to_owned() }],
            distribution: false,
        };
        let svg = plot.svg(true, "x");
        assert!(svg.contains("<title id=\"x-t\">Queue &lt;all&gt;</title>") && svg.contains("<desc"));
        assert!(svg.contains("a &amp; b") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
