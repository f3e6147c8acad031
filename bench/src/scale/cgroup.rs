//! A cgroup of Linux for a process that may have only so much memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io, process, thread};

const PROCESSES: &str = "cgroup.procs";

/// Puts itself into the cgroup, and becomes the program: all of its memory counts from the first byte on.
const ENTER: &str = "echo $$ > \"$0\" && exec \"$@\"";

/// How often the folder is tried to be removed: the last process of it takes some time to be gone.
const ATTEMPTS: u32 = 100;

/// The cgroup, until this is dropped.
pub(super) struct Cgroup {
    folder: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Cgroup {
    /// One whose processes have at most so many bytes, swap included, within the cgroup that this process is in; or,
    /// where version 2 lets none have processes and others in it, beside that.
    ///
    /// # Errors
    /// In words, when the system or its settings have none for this process.
    pub(super) fn with_memory(limit: u64) -> Result<Self, String> {
        let own = read("/proc/self/cgroup".as_ref())?;
        let (version, parents) = parents(&own).ok_or("no memory controller of cgroups")?;
        let has_memory = |folder: &&PathBuf| {
            let handed_down = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
            version == Version::V1 || handed_down.split_whitespace().any(|controller| controller == "memory")
        };
        let parent = parents.iter().find(has_memory).ok_or("no memory controller is handed down to this process")?;
        let folder = parent.join(format!("mqtt-wasi-bench-{}", process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let cgroup = Self { folder, version };
        cgroup.limit(limit)?;
        Ok(cgroup)
    }

    pub(super) const fn version(&self) -> u8 {
        match self.version {
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }

    /// Starts a program in it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER]).arg(self.folder.join(PROCESSES)).arg(program);
        command
    }

    /// The most that was in use, in bytes.
    pub(super) fn peak(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        };
        fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }

    /// Whether the kernel ended a process of it for want of memory.
    pub(super) fn has_killed(&self) -> bool {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        fs::read_to_string(self.folder.join(file)).is_ok_and(|text| kills(&text) > 0)
    }

    fn limit(&self, bytes: u64) -> Result<(), String> {
        let write = |file: &str, bytes: u64| {
            fs::write(self.folder.join(file), bytes.to_string()).map_err(|error| format!("{file}: {error}"))
        };
        let (memory, swap, of_swap) = match self.version {
            Version::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes),
            Version::V2 => ("memory.max", "memory.swap.max", 0),
        };
        write(memory, bytes)?;
        // Some kernels do not count swap, which is no matter where there is none.
        write(swap, of_swap).or_else(|why| if has_swap() { Err(why) } else { Ok(()) })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..ATTEMPTS {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        eprintln!("warning: {} is left", self.folder.display());
    }
}

/// Where a cgroup may be made, by what `/proc/self/cgroup` says.
fn parents(own: &str) -> Option<(Version, Vec<PathBuf>)> {
    let lines = || own.lines().filter_map(|line| line.splitn(3, ':').collect::<Vec<_>>().try_into().ok());
    let below = |root: &str, path: &str| Path::new(root).join(path.trim_start_matches('/'));
    let has_memory = |controllers: &str| controllers.split(',').any(|controller| controller == "memory");
    if let Some([_, _, path]) = lines().find(|[_, controllers, _]: &[&str; 3]| has_memory(controllers)) {
        return Some((Version::V1, vec![below("/sys/fs/cgroup/memory", path)]));
    }
    let [_, _, path] = lines().find(|[number, ..]| *number == "0")?;
    let own = below("/sys/fs/cgroup", path);
    let beside = own.parent().filter(|parent| parent.starts_with("/sys/fs/cgroup")).map(Into::into);
    Some((Version::V2, std::iter::once(own.clone()).chain(beside).collect()))
}

/// How many processes were ended, by what the kernel says of a cgroup.
fn kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

fn has_swap() -> bool {
    // The first line is a head.
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let own = "5:cpu,cpuacct:/\n4:memory:/user/7\n0::/\n";
        assert_eq!(parents(own), Some((Version::V1, vec!["/sys/fs/cgroup/memory/user/7".into()])));
    }

    #[test]
    fn version_2_may_have_it_beside() {
        let folders = ["/sys/fs/cgroup/user.slice/run-7.scope", "/sys/fs/cgroup/user.slice"].map(PathBuf::from);
        assert_eq!(parents("0::/user.slice/run-7.scope\n"), Some((Version::V2, folders.into())));
        assert_eq!(parents("0::/\n"), Some((Version::V2, vec!["/sys/fs/cgroup".into()])));
        assert_eq!(parents(""), None);
    }

    #[test]
    fn kills_are_counted() {
        assert_eq!(kills("low 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(kills("oom_kill_disable 0\n"), 0);
    }
}
