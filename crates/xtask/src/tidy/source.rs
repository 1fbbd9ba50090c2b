//! Rules for Rust files, checked on the syntax tree.

use std::path::Path;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::{
    Attribute, ExprMethodCall, ExprUnsafe, ImplItemFn, ItemFn, ItemImpl, ItemMod, Macro, Safety, Signature,
    TraitItemFn, UsePath, UseTree,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{Finding, TextFile};

/// Crates whose binaries may print, panic and read the environment.
const BINARIES: [&str; 2] = ["crates/cli/", "crates/xtask/"];
/// Where `unsafe` may stand: own kernels, the codec binding, the memory map.
const UNSAFE_PLACES: [&str; 3] = ["crates/tensor/src/", "crates/video/src/ffmpeg", "crates/weights/src/mmap.rs"];
/// Crates that compute only: no file, no clock.
const PURE: [&str; 1] = ["crates/models/src/"];

/// Calls that panic, with the number of arguments of the ones meant (other types have methods of these names).
const PANICKING_CALLS: [(&str, usize); 4] = [("unwrap", 0), ("expect", 1), ("unwrap_err", 0), ("expect_err", 1)];
const BANNED_MACROS: [&str; 8] = ["panic", "todo", "unimplemented", "println", "eprintln", "print", "eprint", "dbg"];

/// Lines that may stand between a SAFETY comment and its `unsafe`: the head of a statement or an attribute.
const SAFETY_GAP_LINES: usize = 3;

/// The longest function of a file that is not a test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LongestFunction {
    pub(super) lines: usize,
    pub(super) line: usize,
}

/// Checks one Rust file.
pub(super) fn check(file: &TextFile, findings: &mut Vec<Finding>) -> LongestFunction {
    let mut report = |line, what: String| findings.push(Finding { file: file.path.clone(), line, what });
    if !file.text.starts_with("//!") {
        report(1, "does not begin with a //! comment that says what the file is for".into());
    }
    let syntax = match syn::parse_file(&file.text) {
        Ok(syntax) => syntax,
        Err(error) => {
            report(error.span().start().line, format!("does not parse: {error}"));
            return LongestFunction::default();
        }
    };
    let mut scan = Scan {
        rules: Rules::of(&file.path),
        lines: file.text.lines().collect(),
        in_test: is_test_file(&file.path),
        longest: LongestFunction::default(),
        found: Vec::new(),
    };
    scan.visit_file(&syntax);
    for (line, what) in scan.found {
        report(line, what);
    }
    scan.longest
}

/// Tests, and the small programs beside a crate: neither is in the binary.
fn is_test_file(path: &Path) -> bool {
    let is_test = |part: &str| ["tests", "benches", "examples", "tests.rs", "testing.rs"].contains(&part);
    path.iter().any(|part| part.to_str().is_some_and(is_test))
}

/// What a file may do.
struct Rules {
    is_binary: bool,
    may_be_unsafe: bool,
    is_pure: bool,
}

impl Rules {
    fn of(path: &Path) -> Self {
        let is_in = |places: &[&str]| path.to_str().is_some_and(|path| places.iter().any(|at| path.starts_with(at)));
        Self { is_binary: is_in(&BINARIES), may_be_unsafe: is_in(&UNSAFE_PLACES), is_pure: is_in(&PURE) }
    }
}

struct Scan<'t> {
    rules: Rules,
    lines: Vec<&'t str>,
    /// Whether the node being visited is test code.
    in_test: bool,
    longest: LongestFunction,
    found: Vec<(usize, String)>,
}

impl Scan<'_> {
    fn report(&mut self, span: Span, what: impl Into<String>) {
        self.found.push((span.start().line, what.into()));
    }

    /// Visits an item, as test code if its attributes say so.
    fn within(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("ignore")) {
            self.report(attribute.span(), "an ignored test is no test");
        }
        let outside = self.in_test;
        self.in_test |= attributes.iter().any(is_test_attribute);
        visit(self);
        self.in_test = outside;
    }

    fn measure(&mut self, signature: &Signature, whole: Span) {
        let line = signature.span().start().line;
        let lines = whole.end().line - line + 1;
        if !self.in_test && lines > self.longest.lines {
            self.longest = LongestFunction { lines, line };
        }
        if let Safety::Unsafe(keyword) = &signature.safety {
            self.check_unsafe(keyword.span());
        }
    }

    fn check_unsafe(&mut self, keyword: Span) {
        if !self.rules.may_be_unsafe {
            self.report(keyword, format!("unsafe may only stand in {}", UNSAFE_PLACES.join(", ")));
        }
        if !has_safety_note(&self.lines, keyword.start().line) {
            self.report(keyword, "unsafe without a SAFETY comment above it");
        }
    }

    fn may_panic(&self) -> bool {
        self.in_test || self.rules.is_binary
    }

    fn check_std_module(&mut self, module: &str, span: Span) {
        if self.in_test {
            return;
        }
        if module == "env" && !self.rules.is_binary {
            self.report(span, "only cli reads the environment");
        }
        if ["fs", "time", "net", "process"].contains(&module) && self.rules.is_pure {
            self.report(span, format!("std::{module} in a crate that reads no file and no clock"));
        }
    }

    /// Macro arguments are tokens, not syntax: looks for `.unwrap()` and `.expect(..)` among them.
    fn check_tokens(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        for token in tokens {
            match &token {
                TokenTree::Group(group) => self.check_tokens(group.stream()),
                TokenTree::Ident(name) if after_dot && PANICKING_CALLS.iter().any(|(call, _)| name == call) => {
                    self.report(name.span(), format!(".{name}() outside tests: return an error"));
                }
                _ => {}
            }
            after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        }
    }
}

impl<'ast> Visit<'ast> for Scan<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.within(&item.attrs, |scan| {
            scan.measure(&item.sig, item.span());
            visit::visit_item_fn(scan, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.within(&item.attrs, |scan| {
            scan.measure(&item.sig, item.span());
            visit::visit_impl_item_fn(scan, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        self.within(&item.attrs, |scan| {
            scan.measure(&item.sig, item.span());
            visit::visit_trait_item_fn(scan, item);
        });
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.within(&item.attrs, |scan| visit::visit_item_mod(scan, item));
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.within(&item.attrs, |scan| {
            if let Some(keyword) = &item.unsafety {
                scan.check_unsafe(keyword.span());
            }
            visit::visit_item_impl(scan, item);
        });
    }

    fn visit_expr_unsafe(&mut self, block: &'ast ExprUnsafe) {
        self.check_unsafe(block.unsafe_token.span());
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let panics = PANICKING_CALLS.iter().any(|(name, count)| call.method == name && call.args.len() == *count);
        if panics && !self.may_panic() {
            self.report(call.method.span(), format!(".{}() outside tests: return an error", call.method));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        if self.may_panic() {
            return;
        }
        if let Some(name) = item.path.segments.last().map(|segment| &segment.ident)
            && BANNED_MACROS.iter().any(|banned| name == banned)
        {
            self.report(name.span(), format!("{name}! outside tests, cli and xtask"));
        }
        self.check_tokens(item.tokens.clone());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if let (Some(first), Some(module)) = (segments.next(), segments.next())
            && first.ident == "std"
        {
            self.check_std_module(&module.ident.to_string(), module.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_use_path(&mut self, path: &'ast UsePath) {
        if path.ident == "std" {
            for (module, span) in first_names(&path.tree) {
                self.check_std_module(&module, span);
            }
        }
        visit::visit_use_path(self, path);
    }
}

/// The first name of every branch of a `use` tree.
fn first_names(tree: &UseTree) -> Vec<(String, Span)> {
    match tree {
        UseTree::Path(path) => vec![(path.ident.to_string(), path.ident.span())],
        UseTree::Name(name) => vec![(name.ident.to_string(), name.ident.span())],
        UseTree::Rename(rename) => vec![(rename.ident.to_string(), rename.ident.span())],
        UseTree::Group(group) => group.items.iter().flat_map(first_names).collect(),
        _ => Vec::new(),
    }
}

/// `#[test]`, or a `#[cfg(...)]` that names `test`.
fn is_test_attribute(attribute: &Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let names_test = |tokens: &TokenStream| {
        tokens.clone().into_iter().any(|token| match token {
            TokenTree::Ident(name) => name == "test",
            TokenTree::Group(group) => {
                group.stream().into_iter().any(|token| matches!(token, TokenTree::Ident(name) if name == "test"))
            }
            _ => false,
        })
    };
    attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(|list| names_test(&list.tokens))
}

/// Whether the comment above line `line` (from 1), or the line itself, explains why it is sound.
fn has_safety_note(lines: &[&str], line: usize) -> bool {
    let is_note = |line: &str| line.contains("SAFETY") || line.contains("# Safety");
    if lines.get(line - 1).is_some_and(|line| is_note(line)) {
        return true;
    }
    let mut gap = 0;
    for above in lines[..line - 1].iter().rev().map(|line| line.trim()) {
        match (above.starts_with("//"), is_note(above)) {
            (true, true) => return true,
            (true, false) => {}
            (false, _) if gap < SAFETY_GAP_LINES => gap += 1,
            (false, _) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(path: &str, text: &str, expect: &[(usize, &str)]) {
        let text = format!("//! Head.\n{text}");
        let file = TextFile { path: path.into(), bytes: text.len(), text };
        let mut findings = Vec::new();
        check(&file, &mut findings);
        let found: Vec<_> = findings.iter().map(|f| (f.line, f.what.as_str())).collect();
        let matches = found.len() == expect.len()
            && found.iter().zip(expect).all(|(found, expect)| found.0 == expect.0 && found.1.contains(expect.1));
        assert!(matches, "{file}: found {found:?}, expected {expect:?}", file = file.text);
    }

    #[test]
    fn finds_panics_and_prints_outside_tests() {
        const LIB: &str = "crates/video/src/a.rs";
        check_text(LIB, "fn f() { a().unwrap(); }", &[(2, ".unwrap()")]);
        check_text(LIB, "fn f() { a.expect(op, what, shape)?; }", &[]);
        check_text(LIB, "fn f() { format!(\"{}\", a.expect(\"x\")); }", &[(2, ".expect()")]);
        check_text(LIB, "fn f() {\n  todo!() }", &[(3, "todo!")]);
        check_text(LIB, "#[cfg(test)]\nmod tests { fn f() { a().unwrap(); println!() } }", &[]);
        check_text(LIB, "#[test]\nfn f() { a().unwrap() }\nfn g() { b().unwrap() }", &[(4, ".unwrap()")]);
        check_text(LIB, "#[test]\n#[ignore]\nfn f() {}", &[(3, "ignored")]);
        check_text("crates/video/tests/it/main.rs", "fn f() { a().unwrap(); }", &[]);
        check_text("crates/cli/src/main.rs", "fn f() { println!(); std::env::args(); }", &[]);
        check_text(LIB, "/// Why not `x.unwrap()`.\nfn f() { \".unwrap()\"; }", &[]);
    }

    #[test]
    fn finds_the_environment_files_and_clocks() {
        check_text("crates/train/src/a.rs", "use std::{fs, env};", &[(2, "environment")]);
        check_text("crates/train/src/a.rs", "fn f() { std::env::var(\"A\"); }", &[(2, "environment")]);
        check_text("crates/models/src/a.rs", "use std::{fs, time::Instant};", &[(2, "std::fs"), (2, "std::time")]);
    }

    #[test]
    fn finds_unsafe_in_the_wrong_place_or_unexplained() {
        const NOTED: &str = "fn f() {\n  // SAFETY: it is.\n  // Really.\n  let a =\n    unsafe { g() };\n}";
        check_text("crates/tensor/src/a.rs", NOTED, &[]);
        check_text("crates/train/src/a.rs", NOTED, &[(6, "only stand in")]);
        check_text("crates/tensor/src/a.rs", "fn f() { unsafe { g() } }", &[(2, "SAFETY")]);
        check_text("crates/tensor/src/a.rs", "/// # Safety\n/// Never null.\nunsafe fn f() {}", &[]);
        check_text("crates/tensor/src/a.rs", "unsafe impl Send for A {}", &[(2, "SAFETY")]);
    }

    #[test]
    fn measures_functions_but_not_tests() {
        let longest = |text: &str| {
            let file = TextFile { path: "a.rs".into(), bytes: 0, text: format!("//! Head.\n{text}") };
            check(&file, &mut Vec::new())
        };
        assert_eq!(longest("/// Doc.\nfn f() {\n\n}\nfn g() {}"), LongestFunction { lines: 3, line: 3 });
        assert_eq!(longest("#[test]\nfn f() {\n\n}"), LongestFunction::default());
    }
}
