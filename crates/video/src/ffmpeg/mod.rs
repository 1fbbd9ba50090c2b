//! The back-end `ffmpeg`: libavcodec decodes; libavformat opens the containers that the Rust demuxers do not know.
//!
//! The only module with `unsafe`: fields and functions of libav that `ffmpeg-next` does not wrap.

mod container;

use ff::util::error::EAGAIN;
use ffmpeg_next as ff;

pub(crate) use container::open;

use crate::decode::{Output, PictureDecoder};
use crate::demux::{Codec, Track};
use crate::frame::RgbFrame;
use crate::yuv::{Yuv420, to_rgb};
use crate::{Colour, ColourRange};

/// A stream's codec parameters as libavformat found them.
pub(crate) type Parameters = ff::codec::Parameters;

/// The most pictures that H.264 and HEVC may hold back for reordering.
const REORDER_MAX: i32 = 15;

/// libavcodec, fed with packets whose time stamp is their number.
pub(crate) struct FfmpegDecoder {
    decoder: ff::codec::decoder::Opened,
    scaler: Option<(ff::software::scaling::Context, Colour)>,
    colour: Colour,
    /// Feeding must start anew after the end of a run was signalled.
    drained: bool,
}

/// Sets libav up once: nothing is printed.
pub(crate) fn initialise() -> Result<(), String> {
    ff::init().map_err(|e| e.to_string())?;
    ff::log::set_level(ff::log::Level::Quiet);
    Ok(())
}

impl FfmpegDecoder {
    /// A decoder for the track; `Ok(None)` if this libav has none for the codec.
    pub fn new(track: &Track, parameters: Option<Parameters>, colour: Colour) -> Result<Option<Self>, String> {
        initialise()?;
        let parameters = match (parameters, codec_id(&track.codec)) {
            (Some(parameters), _) => parameters,
            (None, Some(id)) => parameters_from(id, &track.config)?,
            (None, None) => return Ok(None),
        };
        let Some(codec) = ff::codec::decoder::find(parameters.id()) else { return Ok(None) };
        let mut context = ff::codec::Context::from_parameters(parameters).map_err(|e| e.to_string())?;
        // One clip a core is faster than several threads a clip, and keeps CPU time honest.
        context.set_threading(ff::codec::threading::Config::count(1));
        // SAFETY: `context` owns a valid AVCodecContext that is not open yet; the field is a plain integer that users may set.
        // H.264 streams that do not state their reorder depth make libavcodec guess it and drop late pictures; this stops that.
        unsafe { (*context.as_mut_ptr()).has_b_frames = REORDER_MAX };
        let decoder = context.decoder().open_as(codec).map_err(|e| e.to_string())?;
        Ok(Some(Self { decoder, scaler: None, colour, drained: false }))
    }

    /// Takes all pictures that are ready; converts the wanted ones.
    fn receive(&mut self, wanted: &[bool], output: &mut Output) {
        let mut picture = ff::frame::Video::empty();
        loop {
            match self.decoder.receive_frame(&mut picture) {
                Ok(()) => {}
                Err(ff::Error::Other { errno: EAGAIN } | ff::Error::Eof) => return,
                Err(_) => {
                    output.damaged += 1;
                    return;
                }
            }
            output.damaged += u64::from(picture.is_corrupt() || picture.has_decode_errors());
            let number = picture.pts().and_then(|pts| usize::try_from(pts).ok());
            if let Some(number) = number.filter(|&number| wanted.get(number) == Some(&true)) {
                match self.convert(&picture) {
                    Some(frame) => output.pictures.insert(number, frame),
                    None => {
                        output.damaged += 1;
                        None
                    }
                };
            }
        }
    }

    /// To RGB: by our own fast path, which equals swscale's, or by swscale for other pixel formats and odd heights.
    fn convert(&mut self, picture: &ff::frame::Video) -> Option<RgbFrame> {
        use ff::format::Pixel;
        let colour = self.picture_colour(picture);
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if matches!(picture.format(), Pixel::YUV420P | Pixel::YUVJ420P) && height.is_multiple_of(2) {
            let plane = |i: usize| picture.data(i);
            let (y_stride, uv_stride) = (picture.stride(0), picture.stride(1));
            return to_rgb(
                &Yuv420 { width, height, y: plane(0), u: plane(1), v: plane(2), y_stride, uv_stride },
                colour,
            );
        }
        self.scale(picture, colour)
    }

    /// What the picture says about its colour, or else the container.
    fn picture_colour(&self, picture: &ff::frame::Video) -> Colour {
        let full = picture.format() == ff::format::Pixel::YUVJ420P || picture.color_range() == ff::color::Range::JPEG;
        // SAFETY: the frame is valid while borrowed; `colorspace` is a plain enumeration that we read as its number.
        let matrix = unsafe { (*picture.as_ptr()).colorspace as i32 as u8 };
        Colour {
            matrix: if matrix == 2 { self.colour.matrix } else { matrix },
            range: if full { ColourRange::Full } else { self.colour.range },
        }
    }

    /// swscale with the stream's matrix and range: its default is BT.601 whatever the stream says.
    fn scale(&mut self, picture: &ff::frame::Video, colour: Colour) -> Option<RgbFrame> {
        use ff::software::scaling;
        let (width, height) = (picture.width(), picture.height());
        let fits = |scaler: &scaling::Context, was: &Colour| {
            let input = scaler.input();
            (input.format, input.width, input.height) == (picture.format(), width, height) && *was == colour
        };
        if !self.scaler.as_ref().is_some_and(|(scaler, was)| fits(scaler, was)) {
            let rgb = ff::format::Pixel::RGB24;
            let mut scaler =
                scaling::Context::get(picture.format(), width, height, rgb, width, height, scaling::Flags::BICUBIC)
                    .ok()?;
            let full = i32::from(colour.range == ColourRange::Full);
            // SAFETY: the context is valid and exclusively borrowed; the coefficient tables are static data of libswscale.
            unsafe {
                let table = ff::ffi::sws_getCoefficients(i32::from(colour.matrix));
                ff::ffi::sws_setColorspaceDetails(scaler.as_mut_ptr(), table, full, table, 0, 0, 1 << 16, 1 << 16);
            }
            self.scaler = Some((scaler, colour));
        }
        let mut rgb = ff::frame::Video::empty();
        self.scaler.as_mut()?.0.run(picture, &mut rgb).ok()?;
        let row = width as usize * 3;
        let data = rgb
            .data(0)
            .chunks(rgb.stride(0))
            .take(height as usize)
            .flat_map(|line| line.get(..row).unwrap_or_default())
            .copied()
            .collect();
        Some(RgbFrame { width, height, data })
    }
}

impl PictureDecoder for FfmpegDecoder {
    const NAME: &'static str = "ffmpeg";

    fn decode(&mut self, number: usize, packet: &[u8], wanted: &[bool], output: &mut Output) {
        if std::mem::take(&mut self.drained) {
            self.decoder.flush();
        }
        let mut packet = ff::codec::packet::Packet::copy(packet);
        packet.set_pts(i64::try_from(number).ok());
        if self.decoder.send_packet(&packet).is_err() {
            output.damaged += 1;
        }
        self.receive(wanted, output);
    }

    fn finish_run(&mut self, wanted: &[bool], output: &mut Output) {
        if self.decoder.send_eof().is_ok() {
            self.receive(wanted, output);
        }
        self.drained = true;
    }
}

/// libav's number for a codec that the Rust demuxers know.
fn codec_id(codec: &Codec) -> Option<ff::codec::Id> {
    match codec {
        Codec::H264 => Some(ff::codec::Id::H264),
        Codec::Hevc => Some(ff::codec::Id::HEVC),
        Codec::Av1 => Some(ff::codec::Id::AV1),
        Codec::Vp9 => Some(ff::codec::Id::VP9),
        Codec::Other(_) => None,
    }
}

/// Codec parameters with the decoder configuration record that a Rust demuxer found.
fn parameters_from(id: ff::codec::Id, config: &[u8]) -> Result<Parameters, String> {
    let padding = ff::ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
    let size = i32::try_from(config.len()).map_err(|_| "the decoder configuration is too large".to_owned())?;
    let mut parameters = Parameters::new();
    parameters.set_medium(ff::media::Type::Video);
    parameters.set_id(id);
    if config.is_empty() {
        return Ok(parameters);
    }
    // SAFETY: av_mallocz gives zeroed memory of the size asked for, padding included, or null, which is checked; the
    // parameters take ownership of it and free it with av_free, as their documentation demands.
    unsafe {
        let data = ff::ffi::av_mallocz(config.len() + padding).cast::<u8>();
        if data.is_null() {
            return Err("out of memory".into());
        }
        std::ptr::copy_nonoverlapping(config.as_ptr(), data, config.len());
        let parameters = parameters.as_mut_ptr();
        (*parameters).extradata = data;
        (*parameters).extradata_size = size;
    }
    Ok(parameters)
}
