//! The text of a config: parsing, overrides, unknown keys, and the line of every key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::{Error, Result, SftToml, foreign};

/// Where the keys of a config were written, for messages.
#[derive(Clone, Debug, Default)]
pub struct Source {
    path: PathBuf,
    /// Line of every key of the file, by dotted path.
    lines: BTreeMap<String, usize>,
    /// Keys given by `--set`.
    overridden: Vec<String>,
    /// Keys of cosmos-rl that were accepted and change nothing here, in words.
    pub(crate) notes: Vec<String>,
}

/// Reads a config file and applies `key=value` overrides; a value is TOML, or else a text.
///
/// # Errors
/// [`Error::Config`] with the line for a syntax error, an unknown key (and the nearest known one) or a wrong type;
/// [`Error::Io`] if the file cannot be read.
pub fn read_config(path: &Path, overrides: &[String]) -> Result<(SftToml, Source)> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))?;
    parse_config(path, &text, overrides)
}

/// As [`read_config`], from text; `path` serves messages only.
///
/// # Errors
/// [`Error::Config`].
pub fn parse_config(path: &Path, text: &str, overrides: &[String]) -> Result<(SftToml, Source)> {
    let mut source = Source { path: path.to_path_buf(), ..Source::default() };
    let mut tree = DeTable::parse(text).map_err(|e| source.syntax_error(text, &e))?;
    collect_lines(tree.get_ref(), "", text, &mut source.lines);
    let unknown = source.lines.keys().find(|key| !is_known(key)).cloned();
    if let Some(key) = unknown {
        return Err(source.unknown_key(&key));
    }
    let mut merged: toml::Table = toml::from_str(text).map_err(|e| source.syntax_error(text, &e))?;
    let foreign: Vec<String> = source.lines.keys().filter(|key| foreign::is_foreign(key)).cloned().collect();
    let mut asked = BTreeMap::new();
    for key in foreign {
        asked.extend(lookup(&merged, &key).cloned().map(|value| (key, value)));
    }
    remove_foreign(tree.get_mut(), "");
    source.rename_aliases(tree.get_mut())?;
    SftToml::deserialize(Deserializer::from(tree.clone())).map_err(|e| source.type_error(text, &e))?;
    merged = toml::Table::deserialize(Deserializer::from(tree)).map_err(|e| source.syntax_error(text, &e))?;
    for text in overrides {
        source.apply_override(&mut merged, &mut asked, text)?;
    }
    for (key, value) in asked {
        match foreign::judge(&key, &value) {
            Ok(note) => source.notes.extend(note),
            Err(message) => return Err(source.error(&key, message)),
        }
    }
    let typed = toml::Value::Table(merged).try_into().map_err(|e: toml::de::Error| Error::Config {
        place: "--set".into(),
        message: e.message().trim().to_owned(),
    })?;
    Ok((typed, source))
}

/// The value at a dotted path.
fn lookup<'t>(table: &'t toml::Table, key: &str) -> Option<&'t toml::Value> {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let value = table.get(first)?;
    if rest.is_empty() { Some(value) } else { lookup(value.as_table()?, rest) }
}

/// Takes the keys of cosmos-rl that have no setting here out of a parsed file.
fn remove_foreign(table: &mut DeTable<'_>, prefix: &str) {
    let names: Vec<String> = table.keys().map(|name| name.get_ref().to_string()).collect();
    for name in names {
        let key = format!("{prefix}{name}");
        if foreign::is_foreign(&key) {
            table.remove(name.as_str());
        } else if let Some(DeValue::Table(inner)) = table.get_mut(name.as_str()).map(Spanned::get_mut) {
            remove_foreign(inner, &format!("{key}."));
        }
    }
}

impl Source {
    /// An error about a key, placed on its line, its override, or the file if it is not given.
    pub fn error(&self, key: &str, message: impl std::fmt::Display) -> Error {
        Error::Config { place: self.place(key), message: format!("{key}: {message}") }
    }

    /// Where a key was written.
    fn place(&self, key: &str) -> String {
        if self.overridden.iter().any(|k| k == key) {
            return format!("--set {key}");
        }
        match self.lines.get(key) {
            Some(line) => format!("{}:{line}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    fn at_span(&self, text: &str, span: Option<Range<usize>>, message: String) -> Error {
        let place = match span {
            Some(span) => format!("{}:{}", self.path.display(), line_of(text, span.start)),
            None => self.path.display().to_string(),
        };
        Error::Config { place, message }
    }

    fn syntax_error(&self, text: &str, error: &toml::de::Error) -> Error {
        let line = error.span().and_then(|span| text.lines().nth(line_of(text, span.start) - 1)).unwrap_or_default();
        let hint = match line.split_once('=') {
            Some((key, value)) if value.trim_start().starts_with("...") => {
                format!("; replace the `...` of `{}` by a path in quotes", key.trim())
            }
            _ => String::new(),
        };
        self.at_span(text, error.span(), format!("not valid TOML: {}{hint}", error.message().trim()))
    }

    fn type_error(&self, text: &str, error: &toml::de::Error) -> Error {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        let mut written = self.lines.iter().filter(|(_, at)| **at == line).map(|(key, _)| key.as_str());
        let alias = written.clone().find(|key| foreign::canonical(key).is_some());
        let key = alias.or_else(|| written.next_back());
        let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
        self.at_span(text, error.span(), format!("{key}{}", error.message().trim()))
    }

    fn unknown_key(&self, key: &str) -> Error {
        let near = nearest(key).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Error::Config { place: self.place(key), message: format!("unknown key `{key}`{near}") }
    }

    /// Gives settings that were written under another name of theirs the name they have in [`SftToml`].
    fn rename_aliases(&mut self, tree: &mut DeTable<'_>) -> Result<()> {
        let written: Vec<(String, usize)> = self.lines.iter().map(|(key, line)| (key.clone(), *line)).collect();
        for (alias, line) in written {
            let Some(canonical) = foreign::canonical(&alias) else { continue };
            if self.lines.contains_key(canonical) {
                return Err(self.error(&alias, format!("is another name of {canonical}; remove one of the two")));
            }
            self.lines.insert(canonical.to_owned(), line);
            let (Some((table, old)), Some((_, new))) = (alias.split_once('.'), canonical.split_once('.')) else {
                continue;
            };
            let Some(DeValue::Table(table)) = tree.get_mut(table).map(Spanned::get_mut) else { continue };
            if let Some((name, value)) = table.remove_entry(old) {
                table.insert(Spanned::new(name.span(), new.into()), value);
            }
        }
        Ok(())
    }

    fn apply_override(
        &mut self,
        table: &mut toml::Table,
        asked: &mut BTreeMap<String, toml::Value>,
        text: &str,
    ) -> Result<()> {
        let bad = |message: String| Error::Config { place: format!("--set {text}"), message };
        let (key, value) =
            text.split_once('=').ok_or_else(|| bad("expected key=value, such as train.optm_lr=1e-6".into()))?;
        let (key, value) = (key.trim(), value.trim());
        let key = foreign::canonical(key).unwrap_or(key);
        self.overridden.push(key.to_owned());
        if !is_known(key) {
            return Err(self.unknown_key(key));
        }
        let parsed: std::result::Result<toml::Table, _> = toml::from_str(&format!("value = {value}"));
        let parsed = parsed.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
        let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
        if foreign::is_foreign(key) {
            asked.insert(key.to_owned(), value);
            return Ok(());
        }
        let (tables, leaf) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = table;
        for name in tables.split('.').filter(|name| !name.is_empty()) {
            let entry = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            table = entry.as_table_mut().ok_or_else(|| bad(format!("`{name}` is not a table")))?;
        }
        table.insert(leaf.to_owned(), value);
        // Typed at once, so that the message can name the override.
        toml::Value::Table(single(key, table.get(leaf)))
            .try_into::<SftToml>()
            .map(drop)
            .map_err(|e| bad(format!("{key}: {}", e.message().trim())))
    }
}

/// A config that holds one key.
fn single(key: &str, value: Option<&toml::Value>) -> toml::Table {
    let mut value = value.cloned().unwrap_or(toml::Value::Boolean(false));
    for name in key.rsplit('.') {
        value = toml::Value::Table(toml::Table::from_iter([(name.to_owned(), value)]));
    }
    match value {
        toml::Value::Table(table) => table,
        _ => toml::Table::new(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1
}

fn collect_lines(table: &DeTable<'_>, prefix: &str, text: &str, lines: &mut BTreeMap<String, usize>) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        lines.insert(key.clone(), line_of(text, name.span().start));
        if let DeValue::Table(inner) = value.get_ref() {
            collect_lines(inner, &format!("{key}."), text, lines);
        }
    }
}

fn is_known(key: &str) -> bool {
    known_keys().iter().any(|known| known == key) || foreign::is_foreign(key) || foreign::canonical(key).is_some()
}

/// Every key and table of [`SftToml`], by dotted path, sorted.
///
/// Serde tells them itself: a table that meets a key it does not know answers with those it knows, so that no second
/// list has to be kept.
pub fn known_keys() -> &'static [String] {
    static KEYS: OnceLock<Vec<String>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut keys = Vec::new();
        collect_known("", &mut keys);
        keys.sort();
        keys
    })
}

fn collect_known(prefix: &str, keys: &mut Vec<String>) {
    const PROBE: &str = "no such key";
    let probe = single(&format!("{prefix}{PROBE}"), None);
    let Err(error) = toml::Value::Table(probe).try_into::<SftToml>() else { return };
    let message = error.message().trim_start();
    if !message.starts_with(&format!("unknown field `{PROBE}`")) {
        return; // a value, not a table
    }
    let quoted = message.split('`').skip(3).step_by(2);
    for name in quoted {
        let key = format!("{prefix}{name}");
        collect_known(&format!("{key}."), keys);
        keys.push(key);
    }
}

/// The known key that looks most like `key`, the last part of its path counting most.
fn nearest(key: &str) -> Option<&'static str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &&str| 4 * edits(&last(key), &last(known)) + edits(key, known);
    let best = known_keys().iter().map(String::as_str).chain(foreign::other_names()).min_by_key(distance)?;
    let close = edits(&last(key), &last(best)) <= last(key).chars().count().max(3) / 2;
    close.then_some(best)
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
