//! Plots, as SVG, each measure's cost relative to the smallest log.

use std::fmt::Write;

/// A measure at each size.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// The number of billables in the log, and the cost relative to the smallest log.
    pub(crate) points: Vec<(u64, f64)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 36.0;
/// Where the size axis ends and the names begin.
const RIGHT: f64 = 520.0;
const BOTTOM: f64 = HEIGHT - 40.0;
/// The distance between two names.
const APART: f64 = 17.0;

/// Okabe and Ito's colours, which colour-blind people can distinguish. Further lines are dashed.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#3b3b3b",
];

/// Draws panels below one another, each with its title.
pub(crate) fn plot(panels: &[(&str, &[Line])]) -> String {
    let height = HEIGHT * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>The cost of each operation relative to the smallest log</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, (title, lines)) in panels.iter().enumerate() {
        let down = HEIGHT * index as f64;
        let _ = writeln!(svg, "<g transform=\"translate(0 {down})\">");
        panel(&mut svg, title, lines);
        svg.push_str("</g>\n");
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, title: &str, lines: &[Line]) {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most_billables = points().map(|(billables, _)| *billables).max().unwrap_or(1) as f64;
    let most_times = points().map(|(_, times)| *times).fold(1.0, f64::max).ceil();
    let x = |billables: u64| LEFT + (RIGHT - LEFT) * billables as f64 / most_billables;
    let y = |times: f64| BOTTOM - (BOTTOM - TOP) * times / most_times;
    text(
        svg,
        LEFT,
        20.0,
        "start",
        &format!("{title}: cost relative to the smallest log"),
    );
    let step = (most_times / 5.0).ceil();
    let mut tick = 0.0;
    while tick <= most_times {
        let at = y(tick);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>");
        text(svg, LEFT - 8.0, at + 4.0, "end", &format!("{tick}"));
        tick += step;
    }
    for (billables, _) in lines.first().map_or(&[][..], |line| &line.points) {
        let at = x(*billables);
        let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>");
        let millions = *billables as f64 / 1e6;
        text(
            svg,
            at,
            BOTTOM + 18.0,
            "middle",
            &format!("{millions} million"),
        );
    }
    // Puts names next to the ends of their lines, in the same order, apart from each other.
    let mut ends: Vec<_> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| Some((index, y(line.points.last()?.1))))
        .collect();
    ends.sort_by(|one, other| one.1.total_cmp(&other.1));
    let count = ends.len() as f64;
    let mut free = TOP - APART;
    for (rank, (index, end)) in ends.into_iter().enumerate() {
        let below = (count - 1.0 - rank as f64) * APART;
        let at = end.min(BOTTOM - below).max(free + APART);
        free = at;
        let line = &lines[index];
        let colour = COLOURS[index % COLOURS.len()];
        let dash = match index / COLOURS.len() {
            0 => "none",
            _ => "6 4",
        };
        let path: Vec<_> = line
            .points
            .iter()
            .map(|(billables, times)| format!("{:.1} {:.1}", x(*billables), y(*times)))
            .collect();
        let _ = writeln!(
            svg,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>\n\
             <path d=\"M{RIGHT} {end:.1}L{} {at:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-dasharray=\"{dash}\"/>",
            path.join("L"),
            RIGHT + 16.0,
        );
        let times = line.points.last().map_or(1.0, |point| point.1);
        let label = format!("{times:.1} {}", line.name);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">{label}</text>",
            RIGHT + 20.0,
            at + 4.0
        );
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#3b3b3b\">{text}</text>"
    );
}
