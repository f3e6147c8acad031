//! The notes of a release: what the changelog has for it.

use crate::error::{Error, Result};

/// The section of a version, without its heading.
pub(super) fn of(changelog: &str, version: &str) -> Result<String> {
    let heading = |line: &&str| line.starts_with("## ");
    let is_of_version = |line: &str| {
        let name = line.trim_start_matches("## ").split([',', ' ']).next();
        line.starts_with("## ") && name == Some(version)
    };
    let section: Vec<&str> =
        changelog.lines().skip_while(|line| !is_of_version(line)).skip(1).take_while(|line| !heading(line)).collect();
    let text = section.join("\n").trim().to_owned();
    if text.is_empty() {
        return Err(Error::Release(format!("CHANGELOG.md has nothing of {version}")));
    }
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str =
        "# Changelog\n\n## 0.3.0, unreleased\n\nNew.\n\n### A part\n- One.\n\n## 0.2.0, 2025-01-01\n\nOld.\n";

    #[test]
    fn notes_are_the_section_of_the_version() {
        assert_eq!(of(CHANGELOG, "0.3.0").unwrap(), "New.\n\n### A part\n- One.\n");
        assert_eq!(of(CHANGELOG, "0.2.0").unwrap(), "Old.\n");
    }

    #[test]
    fn version_without_a_section_is_told() {
        assert!(of(CHANGELOG, "0.3").unwrap_err().to_string().contains("nothing of 0.3"));
    }
}
