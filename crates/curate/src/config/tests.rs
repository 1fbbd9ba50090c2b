//! The configuration: what is accepted, and what a fault says.

use super::*;

const SOURCE: &str = "[[source]]\nkind = \"human\"\npath = \"a\"\n";

fn read(text: &str) -> std::result::Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curate.toml");
    std::fs::write(&path, text).unwrap();
    Config::read(&path).map_err(|e| e.to_string().replace(&format!("{}", path.display()), "F"))
}

#[test]
fn defaults_and_names() {
    let config = read(SOURCE).unwrap();
    assert_eq!((config.source[0].name(), config.source[0].tasks()), ("human_annotated", &[Task::Caption][..]));
    assert_eq!(config.reject_budget, 0.05);
}

#[test]
fn faults_name_line_and_way_out() {
    let check = |text: &str, expect: &str| {
        let got = read(text).unwrap_err();
        assert!(got.starts_with(expect), "{got}");
    };
    check("", "F: source: there is none");
    check(&format!("reject_buget = 0.1\n{SOURCE}"), "F:1: unknown key `reject_buget`; did you mean `reject_budget`?");
    check(&format!("{SOURCE}task = []\n"), "F:4: unknown key `task`; did you mean `tasks`?");
    check("[[source]]\nkind = \"humn\"\npath = \"a\"\n", "F:2: unknown value `humn`; did you mean `human`?");
    check("[[source]]\nkind = \"human\"\n", "F:1: missing field `path`");
    check(&format!("seed = \"x\"\n{SOURCE}"), "F:1: invalid type");
    check("seed = ...\n", "F:1: ");
    check(&format!("reject_budget = 5\n{SOURCE}"), "F:1: reject_budget: 5 is outside 0 to 1");
    check(
        &format!("{SOURCE}tasks = [\"reasoning\"]\n"),
        "F:4: tasks: a source of kind \"human\" cannot teach \"reasoning\"; it can: caption, rubric, vqa",
    );
    check(&format!("{SOURCE}{SOURCE}"), "F:4: name: two sources are called \"human_annotated\"");
    check(&format!("{SOURCE}name = \"../x\"\n"), "F:4: name: \"../x\" cannot be a subdirectory");
    check(&format!("{SOURCE}[blend]\nweights = [1, 2]\n"), "F:5: weights: 2 weights for 1 sources");
    check(&format!("{SOURCE}[blend]\nweights = [0]\n"), "F:5: weights: must be numbers");
    check(&format!("{SOURCE}[split]\ndrive_pattern = \"a(\"\n"), "F:5: drive_pattern: ");
    check(&format!("{SOURCE}[split]\ndrive_pattern = \"abc\"\n"), "F:5: drive_pattern: ");
    check(&format!("{SOURCE}[filters]\nduration_max_s = 0.5\n"), "F:5: duration_max_s: 0.5 is outside 1 to");
    check(&format!("{SOURCE}[preview]\ncell = [95, 60]\n"), "F:5: cell: 95 is not an even number");
}
