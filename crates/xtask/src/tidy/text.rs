//! Rules for every text file: names, marks, machine paths, hosts, size.

use super::{Finding, TextFile};

/// Hosts that may appear in a URL. A mirror or a machine of ours has no place in the tree.
const HOSTS: [&str; 15] = [
    "github.com",
    "raw.githubusercontent.com",
    "huggingface.co",
    "arxiv.org",
    "docs.rs",
    "doc.rust-lang.org",
    "rustup.rs",
    "sh.rustup.rs",
    "www.apache.org",
    "opensource.org",
    "www.w3.org",
    "json-schema.org",
    "example.com",
    "127.0.0.1",
    "localhost",
];

/// Written in pieces, so that this file does not contain them.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const REGISTRIES: [&str; 4] =
    [concat!("crates", ".io"), concat!("pypi", ".org"), concat!("npmjs", ".org"), concat!("deb.debian", ".org")];
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];

/// File and folder names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "common", "helpers", "misc"];

/// Largest file, in bytes.
const FILE_BYTES_MAX: usize = 2 << 20;

/// Checks one file.
pub(super) fn check(file: &TextFile, findings: &mut Vec<Finding>) {
    let mut report = |line, what| findings.push(Finding { file: file.path.clone(), line, what });
    let stems = file.path.iter().filter_map(|part| part.to_str()?.split('.').next());
    if let Some(name) = stems.into_iter().find(|stem| EMPTY_NAMES.contains(stem)) {
        report(1, format!("the name {name:?} says nothing: name it by what it holds"));
    }
    if file.bytes > FILE_BYTES_MAX {
        report(1, format!("{} bytes: larger than anything that belongs in the tree", file.bytes));
    }
    if file.path.ends_with("Cargo.lock") {
        return;
    }
    for (at, line) in file.text.lines().enumerate() {
        for what in line_problems(line) {
            report(at + 1, what);
        }
    }
}

fn line_problems(line: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for mark in MARKS.iter().filter(|mark| contains_word(line, mark)) {
        problems.push(format!("a {mark} mark: do it, or write it down in docs/log.md"));
    }
    for registry in REGISTRIES.iter().filter(|registry| line.contains(*registry)) {
        problems.push(format!("names the package registry {registry}"));
    }
    for path in MACHINE_PATHS.iter().filter(|path| starts_a_path(line, path)) {
        problems.push(format!("{path} is a path of one machine"));
    }
    for host in hosts(line).filter(|host| !HOSTS.contains(host)) {
        problems.push(format!("the host {host} is not on the list in xtask/src/tidy/text.rs"));
    }
    problems
}

fn contains_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// Whether `path` occurs where an absolute path begins.
fn starts_a_path(line: &str, path: &str) -> bool {
    let inside_path = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || "_-.}".contains(c));
    line.match_indices(path).any(|(at, _)| line.get(..at).is_some_and(|before| !inside_path(before)))
}

/// Hosts of all literal URLs of a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.split("://").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-').unwrap_or(rest.len());
        rest.get(..end).filter(|host| !host.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_does_not_belong() {
        let check = |line: &str, count: usize| assert_eq!(line_problems(line).len(), count, "{line}");
        check("see https://github.com/a/b and http://127.0.0.1:8000/", 0);
        check(concat!("a mirror at https:", "//packages.example.net/simple"), 1);
        check(&format!("// {}: later", MARKS[0]), 1);
        check(&format!("a{}b", MARKS[0]), 0);
        check(&format!("let a = \"{}main\";", MACHINE_PATHS[0]), 1);
        check(&format!("runs{}x", MACHINE_PATHS[0]), 0);
        check(&format!("on {}", REGISTRIES[0]), 1);
        check("let url = format!(\"http://{host}/\");", 0);
    }
}
