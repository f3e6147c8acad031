//! What outlives the process: one file, which is replaced as a whole.

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How many readings may wait: a day of them. Then the oldest is dropped.
const MOST_READINGS: usize = 86_400;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// When it was taken, in milliseconds since 1970.
    pub(crate) millis: u64,
    pub(crate) celsius: f64,
}

/// The file has a line of JSON, and behind it the bytes of the session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Store {
    /// The number of the last birth.
    pub(crate) birth: u8,
    /// Those that the client does not have yet.
    pub(crate) readings: VecDeque<Reading>,
    /// The client's snapshot: the messages on their way, and what the broker knows of them.
    #[serde(skip)]
    pub(crate) session: Vec<u8>,
    #[serde(skip)]
    file: PathBuf,
}

impl Store {
    /// What the file has; an empty store if there is no file yet.
    pub(crate) fn open(file: PathBuf) -> Result<Self, Box<dyn Error>> {
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { file, ..Self::default() }),
            Err(error) => return Err(format!("{}: {error}", file.display()).into()),
        };
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        let (line, session) = bytes.split_at(end);
        let store: Self =
            serde_json::from_slice(line).map_err(|error| format!("{} is no store: {error}", file.display()))?;
        Ok(Self { session: session.get(1..).unwrap_or_default().to_vec(), file, ..store })
    }

    pub(crate) fn push(&mut self, reading: Reading) {
        if self.readings.len() == MOST_READINGS {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
    }

    /// Writes beside the file first, so that a crash leaves the old one or the new one.
    pub(crate) fn save(&self) -> Result<(), Box<dyn Error>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        bytes.extend(&self.session);
        let new = self.file.with_extension("new");
        fs::write(&new, bytes)
            .and_then(|()| fs::rename(&new, &self.file))
            .map_err(|error| format!("{}: {error}", self.file.display()).into())
    }
}
