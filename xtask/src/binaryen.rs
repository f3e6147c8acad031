//! binaryen's optimiser for WebAssembly, at a pinned version from npm.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::{fs, process, thread};

use crate::components::replace;
use crate::error::{At, Error, Result};
use crate::process::{read, step, succeeds};
use crate::{npm, workspace};

/// Where the version is pinned, and the folder within `target` where it is installed.
const PACKAGE: &str = "xtask/binaryen";
const FOLDER: &str = "binaryen";

/// Everything for size, again and again until nothing changes, with what every engine for components has. The lowest
/// kilobyte of memory is the end of the stack, which a program does not reach. Functions that are called often get the
/// numbers that are short.
const ARGUMENTS: [&str; 12] = [
    "--generate-global-effects",
    "-Oz",
    "--converge",
    "--const-hoisting",
    "--reorder-functions",
    "--low-memory-unused",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Before all of it, but not for ciphers, which take a fortieth longer then: control flow is taken apart and put
/// together anew, which finds about one byte in a hundred more.
const THOROUGH: [&str; 5] = ["-Oz", "--flatten", "--rereloop", "-Oz", "-Oz"];

/// What a module is optimised for, and may have in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Whether it may have wide arithmetic.
    pub(crate) is_wide: bool,
    /// Whether it is built to be small, as all is that has no ciphers.
    pub(crate) is_small: bool,
}

/// For the builds that are for engines which have it. What others are made with stays as it is.
const WIDE: [&str; 1] = ["--enable-wide-arithmetic"];

/// Below this it is not worth the start of a program: what joins modules together is a few bytes.
const WORTHWHILE: usize = 4_096;

/// The installed program.
pub(crate) struct Binaryen {
    program: PathBuf,
    folder: PathBuf,
}

impl Binaryen {
    /// Installs it, or returns `None` with a printed reason where there is no npm: what is built is larger then, and
    /// works alike.
    pub(crate) fn find_or_install() -> Result<Option<Self>> {
        if !succeeds(Command::new("npm").arg("--version")) {
            let missing = Error::MissingTool { tool: "npm", remedy: "install Node.js, whose npm brings binaryen" };
            if workspace::is_ci() {
                return Err(missing);
            }
            step(&format!("the components stay about 7 % larger than they could be: {missing}"));
            return Ok(None);
        }
        let folder = workspace::target().join(FOLDER);
        let program = npm::install(&workspace::root().join(PACKAGE), &folder)?.join("wasm-opt");
        Ok(Some(Self { program, folder }))
    }

    /// Returns the core module smaller. What was optimised once is kept.
    pub(crate) fn optimise(&self, module: &[u8], kind: Kind) -> Result<Vec<u8>> {
        if module.len() < WORTHWHILE {
            return Ok(module.to_vec());
        }
        let thorough = if kind.is_small { &THOROUGH[..] } else { &[] };
        let wide = if kind.is_wide { &WIDE[..] } else { &[] };
        let arguments = [thorough, &ARGUMENTS, wide].concat();
        let mut hasher = DefaultHasher::new();
        (module, &arguments, fs::read(self.folder.join("package-lock.json")).ok()).hash(&mut hasher);
        let optimised = self.folder.join(format!("kept/{:016x}.wasm", hasher.finish()));
        if let Ok(bytes) = fs::read(&optimised) {
            return Ok(bytes);
        }
        // The same module may be in several components, which are made at the same time, by several programs.
        let own = format!("{}.{:?}", process::id(), thread::current().id());
        let input = optimised.with_extension(format!("{own}.in.wasm"));
        replace(&input, module)?;
        let output = optimised.with_extension(format!("{own}.out.wasm"));
        read(Command::new(&self.program).args(&arguments).arg(&input).arg("--output").arg(&output))?;
        let bytes = fs::read(&output).at(&output)?;
        fs::remove_file(&input).at(&input)?;
        fs::rename(&output, &optimised).at(&optimised)?;
        Ok(bytes)
    }
}
