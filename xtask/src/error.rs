//! Why a command failed, in words for the person who ran it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::debian;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line makes no sense.
    Usage(String),
    /// A program could not be started.
    Start { program: String, source: io::Error },
    /// A program ran and failed; its own output says more.
    Failed { command: String, status: ExitStatus },
    /// A file or folder could not be read or written.
    File { path: PathBuf, source: io::Error },
    /// A check needs a tool that is not installed.
    MissingTool { tool: &'static str, remedy: &'static str },
    /// The interface in `wit/` is not valid, and why.
    Wit(String),
    /// What rustdoc wrote cannot be used, and why.
    Rustdoc(String),
    /// So many public items have no example, which were printed.
    NoExample { items: usize },
    /// Two programs of the workspace have one name, and which.
    Programs(String),
    /// A release cannot be put together, and why.
    Release(String),
    /// A component could not be read as one, and why.
    Wasm(String),
    /// So many tests, or steps of testing, failed, which were printed.
    Tests { failed: usize },
    /// So many counts got worse, which were printed.
    Worse { counts: usize },
    /// The documentation has so many problems, which were printed.
    Docs { problems: usize },
    /// A newcomer would not get to a message, and why.
    Newcomer(String),
    /// The guests in these languages were not built or did not run, for reasons that were printed.
    Languages { failed: Vec<&'static str> },
    /// The packages for these hosts were not built, for reasons that were printed.
    Hosts { failed: Vec<&'static str> },
    /// Two builds of a package differ.
    NotReproducible { package: &'static str },
    /// A file of the layer for JavaScript is not what the one for TypeScript makes.
    Layer { file: String },
    /// There is no Rust for wasm32-wasip2, and none could be fetched.
    NoToolchain(Box<Unavailable>),
}

/// Why Debian's Rust cannot be used on this machine.
#[derive(Debug)]
pub(crate) enum Unavailable {
    /// Debian's packages are not known to work on this architecture.
    Architecture(&'static str),
    /// The active toolchain, which is to link, has no linker for components.
    Linker,
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set, so there is no folder to keep it in.
    CacheFolder,
    /// This machine's apt knows no mirror of Debian.
    Mirror,
    /// A step of fetching failed.
    Step(Error),
    /// The packages came, but the Rust in them does not work here.
    Broken,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => write!(f, "{problem}; see `cargo xtask help`"),
            Self::Start { program, source } => write!(f, "cannot start {program}: {source}"),
            Self::Failed { command, status } => write!(f, "`{command}` failed ({status})"),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Wasm(why) => write!(f, "a component that was built cannot be read: {why}"),
            Self::Programs(which) => write!(f, "two programs have one name: {which}; rename one"),
            Self::Release(why) => write!(f, "the release: {why}"),
            Self::Wit(why) => write!(f, "wit/: {why}"),
            Self::Rustdoc(why) => write!(f, "rustdoc's JSON: {why}"),
            Self::NoExample { items } => write!(f, "{items} public items have no example in their documentation"),
            Self::MissingTool { tool, remedy } => write!(f, "{tool} is missing: {remedy}"),
            Self::Tests { failed } => write!(f, "testing failed in {failed} places: the summary above names them"),
            Self::Worse { counts } => write!(
                f,
                "{counts} counts are worse than in bench/counts.txt: find out why. If the change is worth it, write the new \
                 counts with `cargo xtask bench --counts --accept`, and give the reason in the commit message"
            ),
            Self::Docs { problems } => write!(f, "{problems} problems in the documentation, listed above by file"),
            Self::Newcomer(why) => write!(f, "{why}"),
            Self::Languages { failed } => {
                write!(f, "the guests in these languages failed: {}", failed.join(", "))
            }
            Self::Hosts { failed } => write!(f, "the packages for these hosts were not built: {}", failed.join(", ")),
            Self::NotReproducible { package } => {
                write!(f, "two builds of the package for {package} differ: compare them, and pin what changes")
            }
            Self::Layer { file } => write!(
                f,
                "examples/guests/javascript/{file} is not made of examples/guests/typescript: run `npm run layer` there"
            ),
            Self::NoToolchain(why) => write!(
                f,
                "no Rust standard library for wasm32-wasip2, and Debian's cannot be used: {why}\n\n\
                 What helps:\n\
                 - with rustup: rustup target add wasm32-wasip2\n\
                 - on Debian: this command fetches {} of suite {} by itself, without root. It needs \
                 an apt-get that reaches a mirror, and rustup's Rust to link with",
                debian::PACKAGES.join(", "),
                debian::SUITE,
            ),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Architecture(name) => write!(f, "it works on x86_64 and aarch64, and this is {name}"),
            Self::Linker => write!(f, "the active toolchain has no wasm-component-ld to link with"),
            Self::CacheFolder => {
                write!(f, "neither XDG_CACHE_HOME nor HOME is set, so there is no folder to keep it in")
            }
            Self::Mirror => write!(f, "no mirror of Debian that apt knows answers"),
            Self::Step(error) => error.fmt(f),
            Self::Broken => write!(f, "the rustc that was fetched does not run here"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Unavailable {
    fn from(error: Error) -> Self {
        Self::Step(error)
    }
}

impl From<Unavailable> for Error {
    fn from(why: Unavailable) -> Self {
        Self::NoToolchain(Box::new(why))
    }
}

/// Names the file or folder that an operation was about.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { path: path.into(), source })
    }
}
