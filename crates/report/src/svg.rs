//! Pieces of SVG text.
//!
//! Every coloured element has its colour twice: as an attribute, for viewers and the rasteriser, and as a class, so that
//! a page can recolour it for a dark screen.

use std::fmt::Write;

/// Colours of a figure on white. The first is that of the data: readable with all common forms of colour blindness
/// and in grey (Okabe and Ito's blue and vermillion).
pub(crate) const PAINT: [(&str, &str); 6] = [
    ("data", "#0072b2"),
    ("best", "#b34700"),
    ("ink", "#1f2328"),
    ("soft", "#59636e"),
    ("grid", "#dfe3e8"),
    ("paper", "#ffffff"),
];

/// Colour of a class.
fn paint(class: &str) -> &'static str {
    PAINT.iter().find(|(name, _)| *name == class).map_or("#000000", |(_, colour)| colour)
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// The inside of an SVG, growing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canvas {
    body: String,
}

impl Canvas {
    pub(crate) fn line(&mut self, class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], width: f64, dash: &str) {
        let dash = if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        let _ = writeln!(
            self.body,
            r#"<line class="s-{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{}" stroke-width="{width}"{dash}/>"#,
            paint(class)
        );
    }

    pub(crate) fn path(&mut self, class: &str, points: &[[f64; 2]], width: f64) {
        let _ = writeln!(
            self.body,
            r#"<polyline class="s-{class}" points="{}" fill="none" stroke="{}" stroke-width="{width}" stroke-linejoin="round"/>"#,
            listed(points),
            paint(class)
        );
    }

    pub(crate) fn area(&mut self, class: &str, points: &[[f64; 2]], opacity: f64) {
        let _ = writeln!(
            self.body,
            r#"<polygon class="f-{class}" points="{}" fill="{}" fill-opacity="{opacity}"/>"#,
            listed(points),
            paint(class)
        );
    }

    pub(crate) fn dot(&mut self, class: &str, [x, y]: [f64; 2], radius: f64, title: &str) {
        let _ = writeln!(
            self.body,
            r#"<circle class="f-{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{}"><title>{}</title></circle>"#,
            paint(class),
            escape(title)
        );
    }

    pub(crate) fn ring(&mut self, class: &str, [x, y]: [f64; 2], radius: f64) {
        let _ = writeln!(
            self.body,
            r#"<circle class="s-{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="none" stroke="{}" stroke-width="2"/>"#,
            paint(class)
        );
    }

    /// A text with an edge of paper around it, so that lines behind it do not strike it out.
    pub(crate) fn text(&mut self, class: &str, [x, y]: [f64; 2], size: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            r#"<text class="f-{class} halo" x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" fill="{}" stroke="{}" stroke-width="3" stroke-linejoin="round" paint-order="stroke">{}</text>"#,
            paint(class),
            paint("paper"),
            escape(text)
        );
    }

    /// Everything of another canvas, moved.
    pub(crate) fn place(&mut self, [x, y]: [f64; 2], inner: &Self) {
        let _ = writeln!(self.body, r#"<g transform="translate({x:.1} {y:.1})">"#);
        self.body.push_str(&inner.body);
        self.body.push_str("</g>\n");
    }

    /// The whole SVG, `description` being what a screen reader says.
    pub(crate) fn finish(&self, [width, height]: [f64; 2], description: &str) -> String {
        let description = escape(description);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{description}" font-family="DejaVu Sans, Verdana, sans-serif">
<title>{description}</title>
<rect class="f-paper" width="{width}" height="{height}" fill="{}"/>
{}</svg>
"#,
            paint("paper"),
            self.body
        )
    }
}

fn listed(points: &[[f64; 2]]) -> String {
    points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// Text that is safe between tags and in quoted attributes. Characters that XML has no place for become `?`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('?'),
            other => out.push(other),
        }
    }
    out
}

/// Ticks that people would choose, at most `most` or so, covering `low..high`.
pub(crate) fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || most == 0 {
        return vec![low];
    }
    let rough = span / most as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(10.0 * power);
    let first = (low / step).floor() as i64;
    let last = (high / step - 1e-9).ceil() as i64;
    (first..=last).take(50).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover() {
        let check = |low: f64, high: f64, expect: &[f64]| {
            let found = ticks(low, high, 5);
            assert_eq!(found.len(), expect.len(), "{low}..{high}: {found:?}");
            assert!(found.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-12), "{low}..{high}: {found:?}");
        };
        check(0.0, 1.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(0.113, 0.125, &[0.1125, 0.115, 0.1175, 0.12, 0.1225, 0.125]);
        check(0.5, 0.5, &[0.5]);
        assert_eq!(ticks(f64::NAN, 1.0, 5).len(), 1);
    }

    #[test]
    fn what_users_write_is_text() {
        assert_eq!(escape("<script>\"'&\u{1}"), "&lt;script&gt;&quot;&#39;&amp;?");
    }
}
