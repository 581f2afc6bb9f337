//! One page that shows a rehearsal: self-contained, without scripts, for light and dark, each plot with its numbers beside it.

use super::plot::{self, Line, Plot, Shade, escape, human, thousands};
use super::report::{COLUMNS, Report};
use super::spread;
use super::tally::{Case, Latency, Sample, Summary};
use std::fmt::Write as _;

/// Destinations that have a plot or line of their own; the rest is in the tables.
const SHOWN_MAX: usize = 7;
/// Reasons that are told.
const REASONS_MAX: usize = 12;

const PAGE_STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:78rem;margin:0 auto;padding:1.5rem;color:#24292f;background:#fff}\
h1{font-size:1.7rem;line-height:1.2;margin:.2em 0}h2{font-size:1.2rem;margin:2.2em 0 .6em}p.q{font-size:1.1rem;color:#57606a;max-width:60rem}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(32rem,1fr));gap:1.2rem}.plots.one{grid-template-columns:1fr;max-width:62rem}\
.plots svg{width:100%;height:auto;display:block}.scroll{overflow-x:auto}\
table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums}th,td{padding:.25em .45em;text-align:right;border-bottom:1px solid #d0d7de;white-space:nowrap}\
th{font-weight:600;white-space:normal;vertical-align:bottom}th.n,td.n{text-align:left}td.w{white-space:normal;text-align:left}tr.all td{font-weight:600}caption{text-align:left;font-size:.9rem;color:#57606a;padding:.3em 0}\
ul{max-width:62rem}details{margin:.8em 0}pre{overflow-x:auto;font-size:.82rem;background:#f6f8fa;padding:1em}code{font-size:.9em}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}p.q,caption{color:#9da7b1}th,td{border-color:#30363d}pre{background:#161b22}}\
@media(max-width:40rem){.plots{grid-template-columns:1fr}body{padding:.8rem}}";

/// One of the things that are plotted over time.
type Measure = (&'static str, &'static str, fn(&Sample) -> f64);

/// Points of a line of rates: more would be noise, so neighbours are averaged.
const RATES_MAX: usize = 120;

const MEASURES: [Measure; 4] = [
    ("Recipients in the queue", "recipients", |sample| sample.waiting),
    ("Tries", "outcomes of tries a minute", |sample| sample.tries),
    ("Deliveries", "recipients delivered a minute", |sample| sample.delivered),
    ("Connections", "connections open, at most", |sample| sample.open),
];

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let title = escape(&report.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{PAGE_STYLE}{}</style></head><body>\n<p>postrider-sim rehearse</p><h1>{title}</h1>\n<p class=\"q\">{}</p>\n",
        plot::STYLE,
        escape(&report.question)
    );
    _ = writeln!(html, "<p>{}</p>", escape(&opening(report)));
    for case in report.cases.iter().filter(|case| case.endless) {
        _ = writeln!(
            html,
            "<p><strong>{}: broken off after too many events.</strong></p>",
            escape(&case.label)
        );
    }
    overview(&mut html, report);
    for (number, measure) in MEASURES.iter().enumerate() {
        _ = writeln!(html, "<h2>{} over time</h2>", measure.0);
        panels(&mut html, &over_time(report, measure), &format!("m{number}"));
    }
    html.push_str("<h2>How long delivery took</h2>\n");
    panels(&mut html, &distributions(report), "d");
    latencies(&mut html, report);
    tries(&mut html, report);
    by_destination(&mut html, report);
    apart(&mut html, report);
    reasons(&mut html, report);
    notes(&mut html, report);
    _ = writeln!(
        html,
        "<h2>The scenario</h2><details open><summary>As written</summary><pre>{}</pre></details>",
        escape(&report.scenario)
    );
    html.push_str("</body></html>\n");
    html
}

fn opening(report: &Report) -> String {
    let seeds = match report.seeds.as_slice() {
        [one] => format!("seed {one}"),
        [first, .., last] => format!(
            "{} seeds, {first} to {last}; numbers are means, quantiles are of all together",
            report.seeds.len()
        ),
        [] => String::new(),
    };
    let down: Vec<String> = report
        .outages
        .iter()
        .take(SHOWN_MAX)
        .map(|down| format!("{} from {} to {}", down.what, human(down.from), human(down.to)))
        .collect();
    let down = if down.is_empty() { String::new() } else { format!(" {}.", down.join("; ")) };
    format!("Mail comes for {}.{down} Played with {seeds}.", human(report.duration))
}

/// A row for each case, all destinations together.
fn overview(html: &mut String, report: &Report) {
    let rows = report.cases.iter().map(|case| (case.label.clone(), vec![&case.total]));
    table(html, "All destinations together", "case", rows.collect());
}

fn by_destination(html: &mut String, report: &Report) {
    html.push_str("<h2>By destination</h2>\n");
    for case in &report.cases {
        let rows = case.destinations.iter().chain(std::iter::once(&case.total));
        let rows = rows.map(|one| (one.name.clone(), vec![one])).collect();
        table(html, &case.label, "destination", rows);
    }
}

/// How far the seeds lie apart.
fn apart(html: &mut String, report: &Report) {
    let Some((head, rows)) = spread::table(report) else { return };
    html.push_str("<h2>How far the seeds lie apart</h2>\n<div class=\"scroll\"><table><caption>From the lowest to the highest: what differs less between two cases may be chance (summary.csv has each seed)</caption><tr>");
    for (column, name) in head.iter().enumerate() {
        _ = write!(html, "<th{} scope=\"col\">{name}</th>", left(column));
    }
    html.push_str("</tr>\n");
    for row in rows {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            _ = write!(html, "<td{}>{}</td>", left(column), escape(cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
}

/// What names a row stands at the left.
const fn left(column: usize) -> &'static str {
    if column < 2 { " class=\"n\"" } else { "" }
}

fn table(html: &mut String, caption: &str, first: &str, rows: Vec<(String, Vec<&Summary>)>) {
    _ = write!(
        html,
        "<div class=\"scroll\"><table><caption>{}</caption><tr><th class=\"n\" scope=\"col\">{first}</th>",
        escape(caption)
    );
    for (name, _) in COLUMNS {
        _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr>\n");
    for (name, summaries) in rows {
        let class = if name == "all" { " class=\"all\"" } else { "" };
        _ = write!(html, "<tr{class}><td class=\"n\">{}</td>", escape(&name));
        for (summary, (_, of)) in
            summaries.iter().flat_map(|one| COLUMNS.iter().map(move |column| (one, column)))
        {
            _ = write!(html, "<td>{}</td>", escape(&of(summary)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
}

/// With one case a plot with a line for each destination; with several a plot for each destination with a line for each case.
fn over_time(report: &Report, (title, unit, of): &Measure) -> Vec<Plot> {
    let most = |series: &Vec<Sample>| series.iter().map(of).fold(0.0, f64::max);
    let line = |case: &Case, place: usize, name: &str, colour: usize| {
        let samples = case.series.get(place).map_or(&[][..], Vec::as_slice);
        // Rates are averaged over some samples, of states the highest is shown.
        let step = samples.len().div_ceil(RATES_MAX).max(1);
        let rate = unit.ends_with("a minute");
        let points = samples.chunks(step).enumerate().map(|(number, some)| {
            let values = some.iter().map(of);
            let value =
                if rate { values.sum::<f64>() / some.len() as f64 } else { values.fold(0.0, f64::max) };
            ((number * step + some.len()) as f64 * case.piece, value)
        });
        let points = std::iter::once((0.0, 0.0)).chain(points).collect();
        Line { name: name.to_owned(), colour, points }
    };
    let plot = |title: String, lines: Vec<Line>| Plot {
        description: describe(&lines, unit),
        title,
        unit: (*unit).to_owned(),
        lines,
        shades: shades(report),
        distribution: false,
    };
    if let [case] = report.cases.as_slice() {
        let mut lines: Vec<Line> = shown(case)
            .into_iter()
            .enumerate()
            .map(|(colour, place)| line(case, place + 1, &case.destinations[place].name, colour))
            .collect();
        if case.destinations.len() > 1 {
            lines.push(line(case, 0, "all", 7));
        }
        return vec![plot((*title).to_owned(), lines)];
    }
    let mut places = vec![0];
    if let Some(case) = report.cases.first()
        && case.destinations.len() > 1
    {
        places.extend(shown(case).into_iter().map(|place| place + 1));
    }
    let anything = |place: &usize| {
        report.cases.iter().any(|case| case.series.get(*place).is_some_and(|s| most(s) > 0.0))
    };
    places.retain(anything);
    places
        .into_iter()
        .map(|place| {
            let name = place_name(report, place);
            let lines =
                report.cases.iter().enumerate().map(|(colour, case)| line(case, place, &case.label, colour));
            plot(format!("{title}: {name}"), lines.collect())
        })
        .collect()
}

fn place_name(report: &Report, place: usize) -> String {
    let names = report.cases.first().map_or(&[][..], |case| &case.destinations);
    place
        .checked_sub(1)
        .and_then(|place| names.get(place))
        .map_or_else(|| "all".to_owned(), |one| one.name.clone())
}

/// The destinations with the most mail, in their order.
fn shown(case: &Case) -> Vec<usize> {
    let mut places: Vec<usize> = (0..case.destinations.len()).collect();
    places.sort_by(|a, b| case.destinations[*b].accepted.total_cmp(&case.destinations[*a].accepted));
    places.truncate(SHOWN_MAX);
    places.sort_unstable();
    places
}

fn shades(report: &Report) -> Vec<Shade> {
    let all = report.outages.iter().filter(|down| down.from < report.duration);
    all.map(|down| Shade { span: (down.from, down.to), name: down.what.clone() }).collect()
}

fn describe(lines: &[Line], unit: &str) -> String {
    let highest = |line: &Line| {
        let top = line.points.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
        format!("{}: at most {} {unit} after {}", line.name, thousands(top.1), human(top.0))
    };
    lines.iter().map(highest).collect::<Vec<_>>().join("; ") + "."
}

fn distributions(report: &Report) -> Vec<Plot> {
    let line = |name: &str, one: &Summary, colour: usize| Line {
        name: name.to_owned(),
        colour,
        points: one
            .latency
            .iter()
            .flat_map(|latency| &latency.points)
            .map(|(part, seconds)| (*seconds, *part))
            .collect(),
    };
    let plot = |title: String, lines: Vec<Line>| {
        let lines: Vec<Line> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
        let half = |line: &Line| {
            let at = line.points.iter().find(|(_, part)| *part >= 0.5).map_or(0.0, |(seconds, _)| *seconds);
            format!("{}: half within {}", line.name, human(at))
        };
        Plot {
            title,
            description: lines.iter().map(half).collect::<Vec<_>>().join("; ") + ".",
            unit: "of the delivered recipients".to_owned(),
            lines,
            shades: Vec::new(),
            distribution: true,
        }
    };
    if let [case] = report.cases.as_slice() {
        let lines = shown(case)
            .into_iter()
            .enumerate()
            .map(|(colour, place)| line(&case.destinations[place].name, &case.destinations[place], colour));
        return vec![plot("Delivered within".to_owned(), lines.collect())];
    }
    let all = report.cases.iter().enumerate().map(|(colour, case)| line(&case.label, &case.total, colour));
    let mut plots = vec![plot("Delivered within: all".to_owned(), all.collect())];
    let places = report.cases.first().map(shown).unwrap_or_default();
    for place in places.into_iter().filter(|_| report.cases[0].destinations.len() > 1) {
        let own = report.cases.iter().enumerate().filter_map(|(colour, case)| {
            case.destinations.get(place).map(|one| line(&case.label, one, colour))
        });
        let plot = plot(format!("Delivered within: {}", place_name(report, place + 1)), own.collect());
        if !plot.lines.is_empty() {
            plots.push(plot);
        }
    }
    plots
}

/// Pictures that stand alone: name and SVG. The first of a kind shows all destinations.
#[must_use]
pub fn pictures(report: &Report) -> Vec<(String, String)> {
    let names = ["queue", "tries", "deliveries", "connections"];
    let mut all = Vec::new();
    for (name, measure) in names.iter().zip(&MEASURES) {
        all.extend(
            over_time(report, measure).into_iter().enumerate().map(|(number, plot)| (name, number, plot)),
        );
    }
    all.extend(
        distributions(report).into_iter().enumerate().map(|(number, plot)| (&"latency", number, plot)),
    );
    all.into_iter()
        .map(|(name, number, plot)| {
            let file = if number == 0 { format!("{name}.svg") } else { format!("{name}-{number}.svg") };
            (file, plot.svg(true, name))
        })
        .collect()
}

fn panels(html: &mut String, plots: &[Plot], id: &str) {
    let one = if plots.len() == 1 { " one" } else { "" };
    _ = writeln!(html, "<div class=\"plots{one}\">");
    for (number, plot) in plots.iter().enumerate() {
        html.push_str("<figure style=\"margin:0\">");
        html.push_str(&plot.svg(false, &format!("{id}-{number}")));
        html.push_str("</figure>\n");
    }
    html.push_str("</div>\n");
}

fn rows(report: &Report) -> Vec<(String, &Summary)> {
    let several = report.cases.len() > 1;
    let mut rows = Vec::new();
    for case in &report.cases {
        for one in case.destinations.iter().chain(std::iter::once(&case.total)) {
            let name = if several { format!("{}: {}", case.label, one.name) } else { one.name.clone() };
            rows.push((name, one));
        }
    }
    rows
}

fn latencies(html: &mut String, report: &Report) {
    html.push_str("<div class=\"scroll\"><table><caption>From the end of data to the first copy</caption><tr><th class=\"n\" scope=\"col\">destination</th>");
    for name in ["mean", "half", "90 %", "99 %", "99.9 %", "slowest"] {
        _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr>\n");
    let several = report.cases.len() > 1;
    let mut all: Vec<(String, &Latency)> =
        rows(report).into_iter().filter_map(|(name, one)| Some((name, one.latency.as_ref()?))).collect();
    for case in &report.cases {
        let Some((single, mailed)) = &case.beside_mailings else { continue };
        let before = if several { format!("{}: ", case.label) } else { String::new() };
        all.push((format!("{before}single letters, all destinations"), single));
        all.push((format!("{before}mailings, all destinations"), mailed));
    }
    for (name, l) in all {
        _ = write!(html, "<tr><td class=\"n\">{}</td>", escape(&name));
        for value in [l.mean, l.p50, l.p90, l.p99, l.p999, l.most] {
            _ = write!(html, "<td>{}</td>", human(value));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
}

/// How many tries it took.
fn tries(html: &mut String, report: &Report) {
    const STEPS: [(&str, usize, usize); 7] = [
        ("1", 0, 1),
        ("2", 2, 2),
        ("3", 3, 3),
        ("4–5", 4, 5),
        ("6–10", 6, 10),
        ("11–50", 11, 50),
        ("more", 51, usize::MAX),
    ];
    html.push_str("<h2>How many tries it took</h2>\n<div class=\"scroll\"><table><caption>Part of the recipients that left the queue, by their number of tries; duplicates and limits beside them</caption><tr><th class=\"n\" scope=\"col\">destination</th>");
    for (name, ..) in STEPS {
        _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("<th scope=\"col\">deferred after a try</th><th scope=\"col\">without one</th><th scope=\"col\">sent away</th><th scope=\"col\">replies lost</th><th scope=\"col\">duplicates</th><th scope=\"col\">connections at most</th></tr>\n");
    for (name, one) in rows(report) {
        _ = write!(html, "<tr><td class=\"n\">{}</td>", escape(&name));
        for (_, from, to) in STEPS {
            let parts = one.done_after.iter().enumerate().filter(|(number, _)| (from..=to).contains(number));
            let part: f64 = parts.map(|(_, part)| part).sum();
            _ = write!(
                html,
                "<td>{}</td>",
                if part == 0.0 { "–".to_owned() } else { format!("{:.1} %", part * 100.0) }
            );
        }
        for value in [one.deferred, one.suspended, one.sent_away, one.replies_lost, one.duplicates] {
            _ = write!(html, "<td>{}</td>", thousands(value));
        }
        _ = writeln!(html, "<td>{}</td></tr>", one.connections_most);
    }
    html.push_str("</table></div>\n");
}

fn reasons(html: &mut String, report: &Report) {
    html.push_str("<h2>Why mail waited, failed, or was refused</h2>\n");
    for case in &report.cases {
        let mut all: Vec<(String, u64)> =
            case.reasons.iter().map(|(words, number)| (words.clone(), *number)).collect();
        all.extend(
            case.refused
                .iter()
                .map(|(words, number)| (format!("refused at the front door: {words}"), *number)),
        );
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        if all.is_empty() {
            _ = writeln!(html, "<p>{}: nothing did.</p>", escape(&case.label));
            continue;
        }
        _ = writeln!(
            html,
            "<div class=\"scroll\"><table><caption>{}: the most frequent words, in all seeds</caption><tr><th scope=\"col\">times</th><th class=\"n\" scope=\"col\">words</th></tr>",
            escape(&case.label)
        );
        for (words, number) in all.iter().take(REASONS_MAX) {
            _ = writeln!(
                html,
                "<tr><td>{}</td><td class=\"w\">{}</td></tr>",
                thousands(*number as f64),
                escape(words)
            );
        }
        html.push_str("</table></div>\n");
    }
}

fn notes(html: &mut String, report: &Report) {
    html.push_str("<h2>What plays no role here, or another one</h2>\n");
    let first = report.cases.first().map_or(&[][..], |case| &case.notes);
    let common: Vec<&String> =
        first.iter().filter(|note| report.cases.iter().all(|case| case.notes.contains(note))).collect();
    html.push_str("<ul>\n");
    for note in &common {
        _ = writeln!(html, "<li>{}</li>", escape(note));
    }
    for case in &report.cases {
        for note in case.notes.iter().filter(|note| !common.contains(note)) {
            _ = writeln!(html, "<li>{}: {}</li>", escape(&case.label), escape(note));
        }
        if !case.strangers.is_empty() {
            let names: Vec<&str> = case.strangers.keys().take(10).map(String::as_str).collect();
            _ = writeln!(
                html,
                "<li>{}: names that the scenario does not have, answered with “elsewhere”: {}</li>",
                escape(&case.label),
                escape(&names.join(", "))
            );
        }
    }
    html.push_str("</ul>\n");
}
