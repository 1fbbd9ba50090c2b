//! Rules between crates: the arrows, and the number of packages behind the binary.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;

use super::{Finding, TextFile};
use crate::Outcome;

/// Which crate of ours may use which: a new arrow is a decision, written here and in ARCHITECTURE.md together.
const ARROWS: &[(&str, &[&str])] = &[
    ("records", &[]),
    ("tensor", &[]),
    ("video", &[]),
    ("weights", &["tensor"]),
    ("processor", &["video"]),
    ("models", &["tensor", "weights", "processor"]),
    ("train", &["tensor", "weights", "processor", "models", "records", "video"]),
    ("infer", &["tensor", "weights", "processor", "models", "records", "video"]),
    ("world", &["records", "video"]),
    ("chat", &[]),
    ("curate", &["records", "video"]),
    ("benchmark", &["records", "chat"]),
    ("eval", &["records", "chat"]),
    ("report", &["records", "eval"]),
    (
        "cli",
        &[
            "records",
            "tensor",
            "video",
            "weights",
            "processor",
            "models",
            "train",
            "infer",
            "world",
            "chat",
            "curate",
            "benchmark",
            "eval",
            "report",
        ],
    ),
    ("xtask", &["records", "tensor", "video", "weights", "processor", "models", "train", "infer"]),
];

/// The package that makes the `roadscribe` binary.
const BINARY: &str = "cli";

#[derive(Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    lints: toml::Table,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "build-dependencies")]
    build_dependencies: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// Checks all manifests; returns how many packages of Cargo.lock the binary is made of, on any platform.
pub(super) fn check(root: &Path, files: &[TextFile], findings: &mut Vec<Finding>) -> Outcome<usize> {
    let mut manifests = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.file_name().is_some_and(|name| name == "Cargo.toml")) {
        let Some(folder) = file.path.strip_prefix("crates").ok().and_then(|path| path.parent()?.to_str()) else {
            continue;
        };
        let manifest: Manifest = toml::from_str(&file.text)?;
        let mut report = |what| findings.push(Finding { file: file.path.clone(), line: 1, what });
        check_manifest(folder, &manifest, &mut report);
        for page in ["README.md", "ARCHITECTURE.md"] {
            if !files.iter().any(|file| file.path == Path::new(page) && describes(&file.text, folder)) {
                report(format!("{page} has no line about this crate"));
            }
        }
        manifests.insert(folder.to_owned(), manifest);
    }
    for (name, _) in ARROWS.iter().filter(|(name, _)| !manifests.contains_key(*name)) {
        let what = format!("the table of arrows has {name}, the tree has not");
        findings.push(Finding { file: "crates/xtask/src/tidy/manifests.rs".into(), line: 1, what });
    }
    let lock: Lock = toml::from_str(&std::fs::read_to_string(root.join("Cargo.lock"))?)?;
    Ok(reachable(&lock, &manifests).len())
}

fn check_manifest(folder: &str, manifest: &Manifest, report: &mut dyn FnMut(String)) {
    if manifest.package.name != folder {
        report(format!("the package is called {:?}, its folder {folder:?}", manifest.package.name));
    }
    if manifest.lints.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
        report("does not take the lints of the workspace".into());
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == folder) else {
        report("is not in the table of arrows of xtask/src/tidy/manifests.rs".into());
        return;
    };
    let used = manifest.dependencies.keys().chain(manifest.build_dependencies.keys());
    for name in used.filter(|used| ARROWS.iter().any(|(name, _)| name == used)) {
        if !allowed.contains(&name.as_str()) {
            report(format!("{folder} must not use {name}"));
        }
    }
}

/// Whether a line of `text` begins with the crate's name, as in the tree of the README.
fn describes(text: &str, name: &str) -> bool {
    let is_gloss = |rest: &str| rest.starts_with([' ', '`', '/']) && rest.trim().len() > 1;
    text.lines().any(|line| {
        let line = line.trim_start_matches([' ', '`', '-', '*', '#']);
        let line = line.strip_prefix("crates/").unwrap_or(line);
        line.strip_prefix(name).is_some_and(is_gloss)
    })
}

/// Keys (`name` or, where a name has several versions, `name version`) of all packages behind the binary.
fn reachable<'l>(lock: &'l Lock, manifests: &BTreeMap<String, Manifest>) -> BTreeSet<(&'l str, &'l str)> {
    let find = |key: &str| {
        let (name, version) = key.split_once(' ').unwrap_or((key, ""));
        lock.package.iter().find(|p| p.name == name && (version.is_empty() || version.starts_with(&p.version)))
    };
    let mut seen = BTreeSet::new();
    let mut open: Vec<&LockedPackage> = find(BINARY).into_iter().collect();
    while let Some(package) = open.pop() {
        if !seen.insert((package.name.as_str(), package.version.as_str())) {
            continue;
        }
        // The lock file lists the development and the optional dependencies of our own crates too; those are not in
        // the binary that a plain build makes.
        let own = manifests.get(&package.name);
        let is_used = |key: &&String| {
            let name = key.split(' ').next().unwrap_or_default();
            own.is_none_or(|m| [&m.dependencies, &m.build_dependencies].iter().any(|d| is_always_built(d, name)))
        };
        open.extend(package.dependencies.iter().filter(is_used).filter_map(|key| find(key)));
    }
    seen
}

fn is_always_built(dependencies: &BTreeMap<String, toml::Value>, name: &str) -> bool {
    let optional = |value: &toml::Value| value.get("optional").and_then(toml::Value::as_bool) == Some(true);
    dependencies.get(name).is_some_and(|value| !optional(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_downwards() {
        for (at, (name, allowed)) in ARROWS.iter().enumerate() {
            for used in *allowed {
                assert!(ARROWS[..at].iter().any(|(below, _)| below == used), "{name} -> {used}");
            }
        }
    }

    #[test]
    fn a_forbidden_arrow_is_found() {
        let text = "[package]\nname = 'video'\n[lints]\nworkspace = true\n[dependencies]\ntensor.workspace = true";
        let mut found = Vec::new();
        check_manifest("video", &toml::from_str(text).unwrap(), &mut |what| found.push(what));
        assert_eq!(found, ["video must not use tensor"]);
    }

    #[test]
    fn development_and_optional_dependencies_are_not_counted() {
        let lock = "[[package]]\nname='cli'\nversion='1'\ndependencies=['a 2.0', 'dev', 'extra']\n\
            [[package]]\nname='a'\nversion='1.0'\n[[package]]\nname='a'\nversion='2.0'\ndependencies=['b']\n\
            [[package]]\nname='b'\nversion='1'\n[[package]]\nname='dev'\nversion='1'\n\
            [[package]]\nname='extra'\nversion='1'";
        let manifest =
            "[package]\nname='cli'\n[dependencies]\na='2'\nextra={optional=true}\n[dev-dependencies]\ndev='1'";
        let manifests = BTreeMap::from([("cli".to_owned(), toml::from_str(manifest).unwrap())]);
        let lock: Lock = toml::from_str(lock).unwrap();
        let found: Vec<_> = reachable(&lock, &manifests).into_iter().collect();
        assert_eq!(found, [("a", "2.0"), ("b", "1"), ("cli", "1")]);
    }
}
