//! Decompresses layers. The kind is told by the first bytes: media types are missing in the
//! archives of `docker save`, and sometimes wrong elsewhere.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A frame that decoders skip has one of sixteen magic numbers, which differ in the first four
/// bits of the first byte.
const ZSTD_SKIPPABLE_MAGIC: &[u8] = &[0x2a, 0x4d, 0x18];
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z'];
const BZIP2_MAGIC: &[u8] = b"BZh";
/// Size of the buffer of compressed bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// The kind of compression that a file with these first bytes has, if any.
pub(crate) fn kind_of(start: &[u8]) -> Option<&'static str> {
    if start.starts_with(GZIP_MAGIC) {
        Some("gzip")
    } else if start.starts_with(ZSTD_MAGIC)
        || (start.len() > 3 && start[0] & 0xf0 == 0x50 && start[1..].starts_with(ZSTD_SKIPPABLE_MAGIC))
    {
        Some("zstd")
    } else if start.starts_with(XZ_MAGIC) {
        Some("xz")
    } else if start.starts_with(BZIP2_MAGIC) {
        Some("bzip2")
    } else {
        None
    }
}

/// The decompressed contents of `source`, which may be uncompressed.
pub(crate) fn decompress<'r>(source: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    Ok(match kind_of(source.fill_buf()?) {
        None => Box::new(source),
        Some("gzip") => Box::new(MultiGzDecoder::new(source)),
        Some("zstd") => Box::new(ZstdReader { source, decoder: FrameDecoder::new(), is_in_frame: false }),
        Some(other) => {
            let text = format!("its compression, {other}, is none that images have (gzip, zstd)");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    })
}

/// The contents of all frames of a zstd stream, one after the other.
struct ZstdReader<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: Read> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_in_frame {
                while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
                }
                let length = self.decoder.read(buffer)?;
                if length > 0 || buffer.is_empty() {
                    return Ok(length);
                }
                self.is_in_frame = false;
            }
            if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => self.is_in_frame = true,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    #[test]
    fn several_frames_are_one_stream() {
        let read = |bytes: &[u8]| -> io::Result<Vec<u8>> {
            let mut all = vec![];
            decompress(bytes)?.read_to_end(&mut all).map(|_| all)
        };
        let text = b"some text, some text, some text ".repeat(20_000);
        let zstd = compress_to_vec(&text[..], CompressionLevel::Fastest);
        let skipped = [&[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let mut gzip = GzEncoder::new(vec![], Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(read(&text).unwrap(), text);
        for frame in [&zstd, &gzip] {
            assert_eq!(read(frame).unwrap(), text);
            assert_eq!(read(&[&frame[..], &frame[..]].concat()).unwrap(), text.repeat(2));
            assert!(read(&frame[..frame.len() / 2]).is_err());
        }
        assert_eq!(read(&[&skipped[..], &zstd, &skipped].concat()).unwrap(), text);
        assert!(read(b"BZh9").is_err());
    }
}
