//! A plot of what one message costs, over the number of messages: lines over a logarithmic axis, as SVG.

use std::fmt::Write;

/// One line of the plot.
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Number of messages, and cost of one.
    pub points: Vec<(u64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;
/// Colours that are told apart by everybody.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000"];

fn first(line: &Line) -> f64 {
    line.points.first().map_or(1.0, |(_, cost)| *cost).max(f64::MIN_POSITIVE)
}

fn highest(line: &Line) -> f64 {
    line.points.iter().map(|(_, cost)| cost / first(line)).fold(0.0, f64::max)
}

/// Draws the lines; each is relative to its own first point, so that all fit one axis that begins at nothing.
#[must_use]
pub fn draw(title: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter().map(|(messages, _)| *messages));
    let (least, most) = (all().min().unwrap_or(1), all().max().unwrap_or(10));
    let decades = (most as f64 / least as f64).log10().max(1.0);
    let top = (lines.iter().map(highest).fold(1.5, f64::max) * 2.0).ceil() / 2.0;
    let x =
        |messages: u64| MARGIN + (messages as f64 / least as f64).log10() / decades * (WIDTH - 2.0 * MARGIN);
    let y = |ratio: f64| HEIGHT - MARGIN - ratio / top * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{MARGIN}\" y=\"24\" font-size=\"15\">{title}</text>\n"
    );
    let mut ratio = 0.0;
    while ratio <= top {
        let at = y(ratio);
        let end = WIDTH - MARGIN;
        _ = writeln!(
            svg,
            "<path d=\"M{MARGIN} {at:.1}H{end}\" stroke=\"#ddd\"/><text x=\"20\" y=\"{:.1}\">{ratio:.1}</text>",
            at + 4.0
        );
        ratio += 0.5;
    }
    let mut messages = least;
    while messages <= most {
        _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{messages}</text>",
            x(messages),
            HEIGHT - MARGIN + 20.0
        );
        messages *= 10;
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let first = first(line);
        let place = |(messages, cost): &(u64, f64)| format!("{:.1},{:.1}", x(*messages), y(cost / first));
        let points: Vec<String> = line.points.iter().map(place).collect();
        let below = MARGIN + 18.0 * number as f64;
        _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n<text x=\"{}\" y=\"{below}\" fill=\"{colour}\">{}, {first:.1} at first</text>",
            points.join(" "),
            MARGIN + 10.0,
            line.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}
