//! Writes H.264 mp4 files: previews and the synthetic world.

mod mux;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use openh264::OpenH264API;
use openh264::encoder::{Encoder, EncoderConfig, FrameRate, IntraFramePeriod, QpRange, RateControlMode, VuiConfig};
use openh264::formats::YUVSource;

use crate::error::{Error, Result};
use crate::frame::RgbFrame;
use crate::sampling::Rational;

/// Frames from one key frame to the next.
const KEY_FRAME_INTERVAL: u32 = 60;

/// Writes frames of one size to an H.264 mp4 file (8-bit 4:2:0, BT.601 limited range, no B-frames).
///
/// The file appears under its name only when [`finish`](Self::finish) has succeeded; until then the data is in a
/// temporary file beside it, which is removed if the writer is dropped.
pub struct Mp4Writer {
    path: PathBuf,
    partial: PathBuf,
    file: Option<BufWriter<File>>,
    encoder: Encoder,
    picture: Yuv,
    fps: Rational,
    parameter_sets: [Vec<u8>; 2],
    samples: mux::Samples,
}

impl Mp4Writer {
    /// Starts a file of frames of `width` x `height` pixels (both even, at most 3840 x 2160), shown at `fps`.
    ///
    /// `quality` is 0 to 100, larger is better; 70 is hard to tell from the original.
    ///
    /// # Errors
    /// [`Error::Encode`] for a size, rate or quality that cannot be written; [`Error::Io`] if the file cannot be made.
    pub fn create(path: &Path, width: u32, height: u32, fps: Rational, quality: u8) -> Result<Self> {
        let encode = |what: String| Error::Encode { path: path.into(), what };
        let (long, short) = (width.max(height), width.min(height));
        if short < 16 || !width.is_multiple_of(2) || !height.is_multiple_of(2) || long > 3840 || short > 2160 {
            return Err(encode(format!(
                "a size of {width}x{height}; sides must be even, at least 16 and at most 3840 and 2160"
            )));
        }
        if fps.num == 0 || fps.den == 0 || fps.num > u64::from(u32::MAX) || fps.den > u64::from(u32::MAX) {
            return Err(encode(format!("a frame rate of {}/{}", fps.num, fps.den)));
        }
        if quality > 100 {
            return Err(encode(format!("quality {quality}; it is a number from 0 to 100")));
        }
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config(fps, quality))
            .map_err(|e| encode(e.to_string()))?;
        let partial = partial_path(path);
        let mut file =
            BufWriter::new(File::create(&partial).map_err(|source| Error::Io { path: partial.clone(), source })?);
        let header = mux::file_header();
        file.write_all(&header).map_err(|source| Error::Io { path: partial.clone(), source })?;
        Ok(Self {
            path: path.into(),
            partial,
            file: Some(file),
            encoder,
            picture: Yuv::new(width as usize, height as usize),
            fps,
            parameter_sets: Default::default(),
            samples: mux::Samples::default(),
        })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// [`Error::Encode`] if the frame has another size, or the encoder fails; [`Error::Io`] if the disk does.
    pub fn write(&mut self, frame: &RgbFrame) -> Result<()> {
        let (width, height) = (self.picture.width, self.picture.height);
        if (frame.width as usize, frame.height as usize, frame.data.len()) != (width, height, width * height * 3) {
            return Err(
                self.failed(format!("a frame of {}x{} in a file of {width}x{height}", frame.width, frame.height))
            );
        }
        self.picture.fill(frame);
        let (mut sample, mut key) = (Vec::new(), false);
        let stream = match self.encoder.encode(&self.picture) {
            Ok(stream) => stream,
            Err(error) => return Err(Error::Encode { path: self.path.clone(), what: error.to_string() }),
        };
        let layers = (0..stream.num_layers()).filter_map(|i| stream.layer(i));
        for layer in layers {
            for unit in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)) {
                let unit = without_start_code(unit);
                match unit.first().map_or(0, |byte| byte & 0x1f) {
                    7 => self.parameter_sets[0] = unit.to_vec(),
                    8 => self.parameter_sets[1] = unit.to_vec(),
                    kind => {
                        key |= kind == 5;
                        sample.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                        sample.extend_from_slice(unit);
                    }
                }
            }
        }
        if sample.is_empty() {
            return Err(self.failed(format!("the encoder gave nothing for frame {}", self.samples.sizes.len())));
        }
        self.samples.sizes.push(sample.len() as u32);
        if key {
            self.samples.keys.push(self.samples.sizes.len() as u32);
        }
        self.put(&sample)
    }

    /// Writes the index, makes the data durable and gives the file its name.
    ///
    /// # Errors
    /// [`Error::Encode`] if no frame was written; [`Error::Io`] if the disk fails.
    pub fn finish(mut self) -> Result<()> {
        if self.samples.sizes.is_empty() {
            return Err(self.failed("no frame was written".into()));
        }
        let movie = mux::movie(&mux::Movie {
            width: self.picture.width as u16,
            height: self.picture.height as u16,
            fps: self.fps,
            parameter_sets: &self.parameter_sets,
            samples: &self.samples,
        });
        self.put(&movie)?;
        let io = |source| Error::Io { path: self.partial.clone(), source };
        let Some(file) = self.file.take() else { return Err(self.failed("the file is closed".into())) };
        let mut file = file.into_inner().map_err(|e| io(e.into_error()))?;
        mux::patch_data_size(&mut file, &self.samples).map_err(io)?;
        file.sync_all().map_err(io)?;
        drop(file);
        std::fs::rename(&self.partial, &self.path).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let outcome = self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
        outcome.map_err(|source| Error::Io { path: self.partial.clone(), source })
    }

    fn failed(&self, what: String) -> Error {
        Error::Encode { path: self.path.clone(), what }
    }
}

impl Drop for Mp4Writer {
    fn drop(&mut self) {
        // After a successful `finish` the name is gone already; otherwise nothing of the file must stay.
        drop(self.file.take());
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// The temporary name beside the final one, so that the rename stays on one file system.
fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().map_or_else(|| "clip".into(), std::ffi::OsStr::to_string_lossy);
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// A constant quantiser, one thread: the same frames give the same bytes.
fn config(fps: Rational, quality: u8) -> EncoderConfig {
    let qp = 46 - (u32::from(quality) * 34 / 100) as u8;
    EncoderConfig::new()
        .rate_control_mode(RateControlMode::Bufferbased)
        .bitrate(openh264::encoder::BitRate::from_bps(100_000_000))
        .qp(QpRange::new(qp, qp))
        .adaptive_quantization(false)
        .background_detection(false)
        .scene_change_detect(false)
        .skip_frames(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_FRAME_INTERVAL))
        .max_frame_rate(FrameRate::from_hz(fps.to_f64() as f32))
        .num_threads(1)
        .vui(VuiConfig::bt601())
}

/// The NAL unit behind its Annex B start code.
fn without_start_code(unit: &[u8]) -> &[u8] {
    [&[0, 0, 0, 1][..], &[0, 0, 1]].iter().find_map(|code| unit.strip_prefix(*code)).unwrap_or(unit)
}

/// A 4:2:0 picture.
struct Yuv {
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
}

impl Yuv {
    fn new(width: usize, height: usize) -> Self {
        let chroma = vec![128; width / 2 * (height / 2)];
        Self { width, height, planes: [vec![16; width * height], chroma.clone(), chroma] }
    }

    /// Converts by BT.601, limited range; chroma is the mean of four pixels.
    fn fill(&mut self, frame: &RgbFrame) {
        let [y, u, v] = &mut self.planes;
        let pixels = frame.data.as_chunks::<3>().0;
        for (luma, [r, g, b]) in y.iter_mut().zip(pixels) {
            let [r, g, b] = [r, g, b].map(|&value| u32::from(value));
            *luma = ((66 * r + 129 * g + 25 * b + 128) / 256 + 16) as u8;
        }
        let rows = pixels.chunks_exact(2 * self.width);
        for ((u, v), rows) in u.chunks_exact_mut(self.width / 2).zip(v.chunks_exact_mut(self.width / 2)).zip(rows) {
            let (upper, lower) = rows.split_at(self.width);
            let blocks = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for ((u, v), (upper, lower)) in u.iter_mut().zip(v).zip(blocks) {
                let sum =
                    |channel: usize| upper.iter().chain(lower).map(|pixel| i32::from(pixel[channel])).sum::<i32>();
                let (r, g, b) = (sum(0), sum(1), sum(2));
                *u = ((-38 * r - 74 * g + 112 * b + 512).div_euclid(1024) + 128).clamp(0, 255) as u8;
                *v = ((112 * r - 94 * g - 18 * b + 512).div_euclid(1024) + 128).clamp(0, 255) as u8;
            }
        }
    }
}

impl YUVSource for Yuv {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.planes[0]
    }

    fn u(&self) -> &[u8] {
        &self.planes[1]
    }

    fn v(&self) -> &[u8] {
        &self.planes[2]
    }
}
