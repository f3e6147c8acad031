//! A store in a file, by an embedded database.
#![allow(clippy::result_large_err, reason = "the database's errors, which do not leave this file")]

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, ReadableTable, StorageBackend, TableDefinition};

use crate::error::{StoreError, StoreErrorKind};
use crate::session::{Changes, Store};

const ENTRIES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("mqtt-session");

/// The beginning of a file of the database, which is the same in all of its versions; where it has its version, once in
/// each of its two headers; and the newest one that is known here.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
const VERSIONS: [usize; 2] = [64, 192];
const NEWEST_VERSION: u8 = 3;

/// As much of the file is kept in memory: a session is small.
const CACHE: usize = 4 * 1024 * 1024;

/// What has become of a write when it returns.
///
/// ```
/// use mqtt_wasi::{Durability, FileStore};
/// # let path = std::env::temp_dir().join(format!("mqtt-wasi-durability-{}.redb", std::process::id()));
///
/// // A process that is killed loses nothing, and writing does not wait for the disk.
/// let store = FileStore::open_with(&path, Durability::Process)?;
/// # drop(store);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk: it outlives a loss of power. Each write waits for the disk, twice.
    #[default]
    Power,
    /// The system has it: it outlives the process, killed or not. A loss of power may leave a file that is
    /// [damaged](StoreErrorKind::Torn).
    Process,
}

/// A [store](crate::Options::store) in a file, with the database [redb](https://docs.rs/redb). Takes the feature
/// `store`, natively.
///
/// One process at a time can have the file, which grows with what is in flight. A file is checked when it is opened;
/// for that it is read into memory once.
///
/// ```
/// use mqtt_wasi::{Error, FileStore, Options, StoreErrorKind};
/// # let path = std::env::temp_dir().join(format!("mqtt-wasi-file-{}.redb", std::process::id()));
///
/// let options = Options::new().client_id("thermometer-7").store(FileStore::open(&path)?);
/// let Err(Error::Store(error)) = FileStore::open(&path) else { panic!() };
/// assert_eq!(error.kind, StoreErrorKind::InUse);
/// # drop(options);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), Error>(())
/// ```
pub struct FileStore {
    path: PathBuf,
    durability: Durability,
    /// `None` after a failure, which the database does not recover from by itself.
    database: Option<Database>,
}

impl FileStore {
    /// Opens the store in a file, or makes one.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store), by what is wrong: [`StoreErrorKind::InUse`],
    /// [`StoreErrorKind::ReadOnly`], [`StoreErrorKind::Torn`] for a file that is damaged or something else,
    /// [`StoreErrorKind::Version`], [`StoreErrorKind::Full`], [`StoreErrorKind::Failed`]. A file that is damaged stays
    /// as it is.
    ///
    /// ```
    /// use mqtt_wasi::FileStore;
    /// # let path = std::env::temp_dir().join(format!("mqtt-wasi-open-{}.redb", std::process::id()));
    ///
    /// let store = FileStore::open(&path)?; // such as "/var/lib/thermometer/queue.redb"
    /// # drop(store);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, crate::error::Error> {
        Self::open_with(path, Durability::default())
    }

    /// As [`FileStore::open`], with what a write has to outlive.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    ///
    /// ```
    /// use mqtt_wasi::{Durability, FileStore};
    /// # let path = std::env::temp_dir().join(format!("mqtt-wasi-open-with-{}.redb", std::process::id()));
    ///
    /// let store = FileStore::open_with(&path, Durability::Process)?;
    /// # drop(store);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<Self, crate::error::Error> {
        let mut store = Self { path: path.as_ref().into(), durability, database: None };
        store.database().map_err(crate::error::Error::Store)?;
        Ok(store)
    }

    fn database(&mut self) -> Result<&Database, StoreError> {
        if self.database.is_none() {
            self.database = Some(open(&self.path, self.durability)?);
        }
        self.database.as_ref().ok_or_else(|| failure(StoreErrorKind::Failed, "it is not open"))
    }

    /// Does something with the database, which is opened anew the next time if that fails.
    fn with<R>(&mut self, work: impl FnOnce(&Database) -> Result<R, redb::Error>) -> Result<R, StoreError> {
        let database = self.database()?;
        let result = guarded(|| work(database));
        if result.is_err() {
            self.database = None;
        }
        result
    }
}

impl Store for FileStore {
    fn load(&mut self, entry: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError> {
        self.with(|database| read(database, entry))
    }

    fn write(&mut self, changes: &Changes) -> Result<(), StoreError> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(redb::Durability::Immediate);
            {
                let mut table = transaction.open_table(ENTRIES)?;
                for (key, value) in changes.iter() {
                    match value {
                        Some(value) => drop(table.insert(key, value)?),
                        None => drop(table.remove(key)?),
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }
}

/// Names the file alone.
impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

fn open(path: &Path, durability: Durability) -> Result<Database, StoreError> {
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        return open_file(path, durability, false);
    }
    // What is killed in the middle of this leaves no half of a file at the path itself.
    let mut unfinished = std::ffi::OsString::from(path);
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    // Nobody else can have one there from here on: the lock goes with the file when that is renamed.
    let database = open_file(unfinished, durability, true)?;
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        // Another process was faster: its file stays.
        drop(fs::remove_file(unfinished));
        return open_file(path, durability, false);
    }
    fs::rename(unfinished, path).map_err(|error| of_io(&error))?;
    if durability == Durability::Power {
        sync_folder(path).map_err(|error| of_io(&error))?;
    }
    Ok(database)
}

/// Waits until the disk has the name of a file, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Opens a file that is a store, or begins one in a file that is to be empty.
fn open_file(path: &Path, durability: Durability, is_new: bool) -> Result<Database, StoreError> {
    let file = File::options().read(true).write(true).create(is_new).truncate(false).open(path);
    let backend = FileBackend::new(file.map_err(|error| of_io(&error))?).map_err(|error| of_database(error.into()))?;
    // Nobody else has it now.
    if is_new {
        backend.set_len(0).map_err(|error| of_io(&error))?;
    } else {
        verify(&backend)?;
    }
    let backend = Backend { backend, durability };
    guarded(|| Ok(builder().create_with_backend(backend)?))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).create_with_file_format_v3(true);
    builder
}

/// Fails for a file that is damaged, and leaves it as it is. The database does not look for damage by itself. When it
/// is asked to, it goes back to what it had before the last write, without a word: so it is asked about a copy.
fn verify(backend: &FileBackend) -> Result<(), StoreError> {
    let read = || {
        let len = backend.len()?;
        backend.read(0, usize::try_from(len).map_err(io::Error::other)?)
    };
    let bytes = read().map_err(|error| of_io(&error))?;
    if let Some(version) = newer_version(&bytes) {
        return Err(of_database(redb::Error::UpgradeRequired(version)));
    }
    let checked = guarded(|| {
        let copy = InMemoryBackend::new();
        copy.set_len(bytes.len() as u64)?;
        copy.write(0, &bytes)?;
        let mut database = builder().create_with_backend(copy)?;
        let before = entries(&database)?;
        database.check_integrity()?;
        let is_whole = entries(&database)? == before;
        is_whole.then_some(()).ok_or_else(|| redb::Error::Corrupted("a checksum is wrong".into()))
    });
    // In memory nothing else can fail: what it says points outside of it.
    checked.map_err(|error| match error.kind {
        StoreErrorKind::Version => error,
        _ => StoreError { kind: StoreErrorKind::Torn, ..error },
    })
}

/// The version of a file that a later database has written, which for this one is damaged.
fn newer_version(bytes: &[u8]) -> Option<u8> {
    let [first, second] = VERSIONS.map(|place| bytes.get(place).copied());
    first.filter(|&version| bytes.starts_with(MAGIC) && second == first && version > NEWEST_VERSION)
}

fn entries(database: &Database) -> Result<Vec<(u32, Vec<u8>)>, redb::Error> {
    let mut entries = Vec::new();
    read(database, &mut |key, value| entries.push((key, value.to_vec())))?;
    Ok(entries)
}

fn read(database: &Database, entry: &mut dyn FnMut(u32, &[u8])) -> Result<(), redb::Error> {
    match database.begin_read()?.open_table(ENTRIES) {
        Ok(table) => {
            for pair in table.iter()? {
                let (key, value) = pair?;
                entry(key.value(), value.value());
            }
            Ok(())
        }
        // Nothing was written yet.
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The file, which is told whether to wait for the disk.
#[derive(Debug)]
struct Backend {
    backend: FileBackend,
    durability: Durability,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.backend.read(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self, eventual: bool) -> io::Result<()> {
        match self.durability {
            Durability::Power => self.backend.sync_data(eventual),
            Durability::Process => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }
}

/// The database panics at some files that are damaged.
fn guarded<R>(work: impl FnOnce() -> Result<R, redb::Error>) -> Result<R, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(of_database),
        Err(_) => Err(failure(StoreErrorKind::Torn, "the database cannot make sense of it")),
    }
}

fn failure(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
    StoreError { kind, message: message.into() }
}

fn of_database(error: redb::Error) -> StoreError {
    use redb::Error;
    match error {
        Error::DatabaseAlreadyOpen => failure(StoreErrorKind::InUse, "another process has the file, or another client"),
        Error::UpgradeRequired(version) => failure(StoreErrorKind::Version, format!("version {version} of a file")),
        Error::Corrupted(message) => failure(StoreErrorKind::Torn, message),
        Error::RepairAborted => failure(StoreErrorKind::Torn, "it was not repaired"),
        Error::TableTypeMismatch { .. } | Error::TableIsMultimap(_) | Error::TypeDefinitionChanged { .. } => {
            failure(StoreErrorKind::Version, "it has entries of another kind")
        }
        Error::Io(error) => of_io(&error),
        error => failure(StoreErrorKind::Failed, error.to_string()),
    }
}

fn of_io(error: &io::Error) -> StoreError {
    use io::ErrorKind;
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreErrorKind::Full,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => StoreErrorKind::ReadOnly,
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreErrorKind::Torn,
        _ => StoreErrorKind::Failed,
    };
    failure(kind, error.to_string())
}
