//! Finds out, from the headers of frames alone, which message the bytes of a client belong to
//! (RFC 6455, section 5.2). Faulty frames are left to the websocket's own parser.

/// The longest header of a frame: two bytes, eight of length, four of mask.
const MAX_HEADER_BYTES: usize = 14;
/// The first opcode of control frames.
const FIRST_CONTROL_OPCODE: u8 = 8;

/// The place in the bytes of one client.
#[derive(Default)]
pub(super) struct FrameScanner {
    /// The header that is being read.
    header: [u8; MAX_HEADER_BYTES],
    header_length: usize,
    /// Bytes of the current frame that have not come.
    payload_left: u64,
    /// Whether the current frame belongs to a message and is not a control frame.
    is_data: bool,
    /// Whether the current frame is the last of its message.
    is_last: bool,
    /// Bytes and frames of the message that is not complete; `None` between messages.
    message: Option<(u64, u32)>,
}

/// The frames that some bytes contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Bytes of messages.
    pub message_bytes: u64,
    /// Whether a frame or message was completed.
    pub has_completed: bool,
}

impl FrameScanner {
    /// Bytes of the message that is not complete.
    pub fn unfinished_bytes(&self) -> u64 {
        self.message.map_or(0, |(bytes, _)| bytes)
    }

    /// Frames of the message that is not complete.
    pub fn unfinished_frames(&self) -> u32 {
        self.message.map_or(0, |(_, frames)| frames)
    }

    /// Whether the client is in the middle of a frame or message.
    pub fn is_unfinished(&self) -> bool {
        self.message.is_some() || self.header_length > 0 || self.payload_left > 0
    }

    /// Reads the next bytes.
    pub fn scan(&mut self, mut bytes: &[u8]) -> Scanned {
        let mut scanned = Scanned::default();
        while let [first, rest @ ..] = bytes {
            if self.payload_left == 0 {
                self.header[self.header_length] = *first;
                self.header_length += 1;
                bytes = rest;
                if self.header_length < self.header_bytes() {
                    continue;
                }
                self.begin_frame();
            }
            let length = self.payload_left.min(bytes.len() as u64);
            self.payload_left -= length;
            bytes = &bytes[length as usize..];
            if let (true, Some((message_bytes, _))) = (self.is_data, &mut self.message) {
                *message_bytes += length;
                scanned.message_bytes += length;
            }
            if self.payload_left == 0 {
                // A control frame may stand between the frames of a message.
                scanned.has_completed |= !self.is_data && self.message.is_none();
                if self.is_data && self.is_last {
                    self.message = None;
                    scanned.has_completed = true;
                }
            }
        }
        scanned
    }

    /// The length of the header as far as it is known.
    fn header_bytes(&self) -> usize {
        let [_, second, ..] = self.header;
        if self.header_length < 2 {
            return 2;
        }
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length_bytes + if second & 0x80 == 0 { 0 } else { 4 }
    }

    fn begin_frame(&mut self) {
        let [first, second, long @ ..] = &self.header;
        self.payload_left = match (second & 0x7f, long) {
            (126, [a, b, ..]) => u16::from_be_bytes([*a, *b]).into(),
            (127, [a, b, c, d, e, f, g, h, ..]) => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            (short, _) => short.into(),
        };
        self.is_data = first & 0x0f < FIRST_CONTROL_OPCODE;
        self.is_last = first & 0x80 != 0;
        if self.is_data {
            self.message.get_or_insert((0, 0)).1 += 1;
        }
        self.header_length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match payload {
            0..=125 => frame.push(0x80 | payload as u8),
            126..=65535 => {
                frame.push(0x80 | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.extend(vec![0x81; payload]);
        frame
    }

    #[test]
    fn a_message_is_unfinished_until_its_last_frame_is_complete() {
        let mut scanner = FrameScanner::default();
        for (bytes, unfinished_bytes, is_unfinished) in [
            (frame(0x01, 100), 100, true),
            (frame(0x8a, 3), 100, true), // a pong in between
            (frame(0x00, 70_000), 70_100, true),
            (frame(0x80, 300), 0, false),
            (frame(0x8a, 0), 0, false),
            (frame(0x81, 0), 0, false),
        ] {
            scanner.scan(&bytes);
            assert_eq!(
                (scanner.unfinished_bytes(), scanner.is_unfinished()),
                (unfinished_bytes, is_unfinished)
            );
        }
    }

    #[test]
    fn bytes_may_come_in_any_pieces() {
        let stream: Vec<u8> =
            [frame(0x01, 126), frame(0x89, 5), frame(0x80, 200), frame(0x82, 70_000), frame(0x01, 7)]
                .concat();
        for piece_bytes in [1, 2, 3, 1000, stream.len()] {
            let mut scanner = FrameScanner::default();
            let scanned: Vec<_> = stream.chunks(piece_bytes).map(|piece| scanner.scan(piece)).collect();
            let bytes: u64 = scanned.iter().map(|scanned| scanned.message_bytes).sum();
            assert_eq!(bytes, 126 + 200 + 70_000 + 7, "{piece_bytes}");
            assert_eq!((scanner.unfinished_bytes(), scanner.unfinished_frames()), (7, 1), "{piece_bytes}");
        }
    }
}
