//! SVG to PNG, with the one font that is in the binary: the same picture on every machine.

use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use crate::{Error, Result};

/// DejaVu Sans, Latin letters and a few signs; its licence stands beside it.
const FONT: &[u8] = include_bytes!("../font/DejaVuSans-subset.ttf");

/// Pixels of a picture for each unit of the figure: sharp on dense screens and in print.
const SCALE: f32 = 2.0;

/// Draws a figure of ours as a PNG at twice its size.
///
/// # Errors
/// [`Error::Render`] if the text is no SVG.
pub fn png_of_svg(svg: &str) -> Result<Vec<u8>> {
    let wrong = |message: String| Error::Render { what: "figure to PNG", message };
    let mut options = usvg::Options { font_family: "DejaVu Sans".to_owned(), ..usvg::Options::default() };
    Arc::make_mut(&mut options.fontdb).load_font_data(FONT.to_vec());
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| wrong(e.to_string()))?;
    let size = tree.size().to_int_size().scale_by(SCALE).ok_or_else(|| wrong("it has no size".to_owned()))?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| wrong(format!("{} x {} pixels are too many", size.width(), size.height())))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| wrong(e.to_string()))
}

/// A picture as a PNG: `height * width * 3` bytes, rows top to bottom.
///
/// # Errors
/// [`Error::Render`] if the bytes do not fit the size.
pub fn png_of_rgb(width: u32, height: u32, rgb: &[u8]) -> Result<Vec<u8>> {
    let wrong = |message: String| Error::Render { what: "picture to PNG", message };
    let mut pixels =
        tiny_skia::Pixmap::new(width, height).ok_or_else(|| wrong(format!("{width} x {height} pixels")))?;
    let (from, _) = rgb.as_chunks::<3>();
    let (to, _) = pixels.data_mut().as_chunks_mut::<4>();
    if from.len() != to.len() || rgb.len() % 3 != 0 {
        return Err(wrong(format!("{} bytes are not {width} x {height} pixels", rgb.len())));
    }
    for (to, [r, g, b]) in to.iter_mut().zip(from) {
        *to = [*r, *g, *b, 255];
    }
    pixels.encode_png().map_err(|e| wrong(e.to_string()))
}
