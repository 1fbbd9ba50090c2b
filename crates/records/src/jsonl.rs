//! JSON Lines: one record a line, appended, never rewritten.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The content of a JSONL file.
#[derive(Debug)]
pub struct Jsonl<T> {
    /// Records in order.
    pub records: Vec<T>,
    /// The last line, if a crash cut it short.
    pub torn: Option<TornTail>,
}

/// A last line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Its number, from 1.
    pub line: usize,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Reads all records of a file. Blank lines are skipped; a last line that lacks its line feed and is no whole record
/// is reported, not an error.
///
/// # Errors
/// [`Error::Io`], or [`Error::Line`] for the first line that is not a `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Jsonl<T>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    let mut content = Jsonl { records: Vec::new(), torn: None };
    let mut offset = 0u64;
    for (index, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        let body = line.trim_ascii();
        match serde_json::from_slice(body) {
            _ if body.is_empty() => {}
            Ok(record) => content.records.push(record),
            Err(_) if !line.ends_with(b"\n") && is_cut(body) => {
                content.torn = Some(TornTail { line: index + 1, offset, bytes: line.len() as u64 });
            }
            Err(e) => {
                return Err(Error::Line { path: path.to_path_buf(), line: index + 1, message: e.to_string() });
            }
        }
        offset += line.len() as u64;
    }
    Ok(content)
}

/// Whether a last line is the beginning of a record rather than a whole one of another shape.
fn is_cut(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err()
}

/// Appends records to a JSONL file.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    len: u64,
}

impl Writer {
    /// Opens a file for appending, creating it if need be. A torn last line is cut off and returned; a whole last line
    /// without its line feed gets one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(path: &Path) -> Result<(Self, Option<TornTail>)> {
        let io = |action| move |e| Error::io(path, action, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let start = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let tail = bytes[start..].trim_ascii();
        let mut torn = None;
        let mut len = bytes.len() as u64;
        if start < bytes.len() && is_cut(tail) {
            let line = bytes[..start].iter().filter(|&&b| b == b'\n').count() + 1;
            torn = Some(TornTail { line, offset: start as u64, bytes: len - start as u64 });
            len = start as u64;
            file.set_len(len).map_err(io("truncate"))?;
        }
        file.seek(SeekFrom::Start(len)).map_err(io("seek"))?;
        if torn.is_none() && start < bytes.len() {
            file.write_all(b"\n").map_err(io("write"))?;
            len += 1;
        }
        Ok((Self { path: path.to_path_buf(), file: BufWriter::new(file), len }, torn))
    }

    /// Opens a file for appending after its first `len` bytes; what follows them is cut off.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Manifest`] if the file is shorter than `len`.
    pub fn append_at(path: &Path, len: u64) -> Result<Self> {
        let io = |action| move |e| Error::io(path, action, e);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(io("open"))?;
        let found = file.metadata().map_err(io("inspect"))?.len();
        if found < len {
            let message = format!("has {found} bytes, but {len} had been written; it was changed from outside");
            return Err(Error::Manifest { path: path.to_path_buf(), message });
        }
        file.set_len(len).map_err(io("truncate"))?;
        file.seek(SeekFrom::Start(len)).map_err(io("seek"))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file), len })
    }

    /// Appends one record; it reaches the operating system at the next [`flush`](Self::flush) or
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Json`] if the record has no JSON form.
    pub fn write(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line =
            serde_json::to_vec(record).map_err(|e| Error::Json { path: self.path.clone(), message: e.to_string() })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|e| Error::io(&self.path, "write", e))?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Hands all records to the operating system: they survive a kill of this process.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|e| Error::io(&self.path, "write", e))
    }

    /// Flushes and waits for the disk: all records survive a loss of power.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.get_ref().sync_all().map_err(|e| Error::io(&self.path, "sync", e))
    }

    /// Length of the file in bytes, records not yet flushed included.
    pub fn len_bytes(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn reads_and_reports() {
        let check = |text: &str, records: &[u32], torn: Option<(usize, u64)>| {
            let content = read::<u32>(file_with(text).path()).unwrap();
            assert_eq!(content.records, records, "{text:?}");
            assert_eq!(content.torn.map(|t| (t.line, t.offset)), torn, "{text:?}");
        };
        check("", &[], None);
        check("1\n2\n", &[1, 2], None);
        check("1\r\n\n2", &[1, 2], None);
        check("1\n{\"a\": ", &[1], Some((2, 2)));
        let wrong = read::<u32>(file_with("1\n\"x\"\n").path()).unwrap_err().to_string();
        assert!(wrong.contains(":2: "), "{wrong}");
        assert!(read::<u32>(file_with("1\n\"x\"").path()).is_err(), "a whole record of another type is not torn");
    }

    #[test]
    fn appends_after_a_crash() {
        let check = |before: &str, after: &str, cut: bool| {
            let file = file_with(before);
            let (mut writer, torn) = Writer::append(file.path()).unwrap();
            writer.write(&7).unwrap();
            writer.sync().unwrap();
            assert_eq!(torn.is_some(), cut, "{before:?}");
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), after);
            assert_eq!(writer.len_bytes(), after.len() as u64);
        };
        check("", "7\n", false);
        check("1\n", "1\n7\n", false);
        check("1\n{\"a\"", "1\n7\n", true);
        check("1\n2", "1\n2\n7\n", false);
    }

    #[test]
    fn cuts_back_to_a_known_length() {
        let file = file_with("1\n2\n3\n");
        let mut writer = Writer::append_at(file.path(), 4).unwrap();
        writer.write(&9).unwrap();
        writer.flush().unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "1\n2\n9\n");
        assert!(Writer::append_at(file.path(), 99).is_err());
    }
}
