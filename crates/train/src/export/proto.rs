//! The few kinds of protobuf fields that the two formats need (protobuf.dev, "Encoding").

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Its bytes so far.
    pub bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn tag(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from((field << 3) | wire_type));
    }

    /// An integer field.
    #[must_use]
    pub fn integer(mut self, field: u32, value: u64) -> Self {
        self.tag(field, 0);
        self.varint(value);
        self
    }

    /// A `double` field.
    #[must_use]
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.tag(field, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A `float` field.
    #[must_use]
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.tag(field, 5);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A text field.
    #[must_use]
    pub fn text(mut self, field: u32, value: &str) -> Self {
        self.tag(field, 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    /// A field that is a message.
    #[must_use]
    pub fn message(mut self, field: u32, value: &Self) -> Self {
        self.tag(field, 2);
        self.varint(value.bytes.len() as u64);
        self.bytes.extend_from_slice(&value.bytes);
        self
    }
}
