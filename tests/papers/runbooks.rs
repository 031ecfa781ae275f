//! Runbooks: their commands are the program's, every alert has its place, and none is half a plan.

use cloakroom::alerts::AlertName;

use super::{files, read};

/// What every runbook says.
const PARTS: [&str; 6] = [
    "Noticed by",
    "First minutes",
    "Over when",
    "Evidence",
    "Told",
    "Drilled by",
];

/// A command of a document, and whether it must be whole: in a block it is run as it stands, in a
/// sentence it may be only named.
struct Command {
    place: String,
    text: String,
    is_whole: bool,
}

/// The commands of a Markdown text.
fn commands(file: &str, text: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let mut is_block = false;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number.saturating_add(1));
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
            continue;
        }
        let mut put = |text: &str, is_whole| {
            // What follows a pipe or a comment is another program's.
            let text = text.split(" | ").next().unwrap_or_default();
            let text = text.split(" #").next().unwrap_or_default();
            if text.starts_with("cloakroom ") {
                let (place, text) = (place.clone(), text.trim().to_owned());
                found.push(Command {
                    place,
                    text,
                    is_whole,
                });
            }
        };
        if is_block {
            put(line.trim(), true);
        } else {
            // Every second piece stands between backticks.
            line.split('`')
                .skip(1)
                .step_by(2)
                .for_each(|span| put(span, false));
        }
    }
    found
}

/// Why a command is none; nothing when it is one.
fn wrong(command: &Command) -> Option<String> {
    use clap::error::ErrorKind;
    // As manuals write it: `init|status` is each of them, `[…]` may be left out, `…` repeats.
    let text = command
        .text
        .replace("\\|", "|")
        .replace(['…', '[', ']'], "");
    let words = shlex::split(&text)?;
    let alternatives = words.iter().map(|word| {
        if word.contains('|') {
            word.split('|').collect()
        } else {
            vec![word.as_str()]
        }
    });
    let alternatives: Vec<Vec<&str>> = alternatives.collect();
    let most = alternatives.iter().map(Vec::len).max().unwrap_or(1);
    (0..most).find_map(|choice| {
        let words = alternatives.iter().map(|words| {
            words
                .get(choice)
                .or(words.last())
                .copied()
                .unwrap_or_default()
        });
        let parsed = cloakroom::cli::command().try_get_matches_from(words);
        let error = parsed.err()?;
        let is_named_only = matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                | ErrorKind::InvalidValue
                | ErrorKind::ValueValidation
                | ErrorKind::TooFewValues
                | ErrorKind::DisplayHelp
                | ErrorKind::DisplayVersion
        );
        (command.is_whole || !is_named_only)
            .then(|| format!("{}: {}: {error}", command.place, command.text))
    })
}

fn documents() -> Vec<(String, String)> {
    let own = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
    let mut documents = Vec::from(own.map(|file| (file.to_owned(), read(file))));
    documents.extend(files("docs", ".md"));
    documents.extend(files("pci-docs", ".md"));
    documents
}

#[test]
fn every_command_of_the_documents_is_one() {
    let all: Vec<Command> = documents()
        .iter()
        .flat_map(|(file, text)| commands(file, text))
        .collect();
    let wrong: Vec<String> = all.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let whole = all.iter().filter(|command| command.is_whole).count();
    assert!(all.len() > 100 && whole > 30, "{} and {whole}", all.len());
}

#[test]
fn a_command_that_is_none_is_found() {
    let is_wrong = |text: &str| commands("x.md", text).iter().filter_map(wrong).count();
    for text in [
        "run `cloakroom audit verifi --config FILE` now",
        "run `cloakroom audit verify --confg FILE` now",
        "run `cloakroom incident scope X --clients NAME`",
        "```sh\ncloakroom incident open --config internal.toml\n```",
        "```\ncloakroom keys retire KEK --config f.toml --state lost\n```",
        "`cloakroom keys status|rotated`",
    ] {
        assert_eq!(is_wrong(text), 1, "{text}");
    }
    for text in [
        "run `cloakroom audit verify`, `cloakroom keys init|status|rotate`",
        "```sh\ncloakroom incident open --config internal.toml --title \"A title\"  # a comment\n```",
        "`cargo cloakroom` and cloakroom nothing",
    ] {
        assert_eq!(is_wrong(text), 0, "{text}");
    }
}

/// Names of alerts that a text has no place for.
fn without_place(text: &str, names: &[String]) -> Vec<String> {
    let has_none = |name: &&String| !text.contains(&format!("`{name}`"));
    names.iter().filter(has_none).cloned().collect()
}

#[test]
fn every_alert_has_its_runbook() {
    let rules = read("deploy/prometheus/rules.yml");
    let of_rules = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned);
    let own = AlertName::ALL.iter().map(|name| name.name().to_owned());
    let names: Vec<String> = of_rules.chain(own).collect();
    assert!(names.len() > 30, "{names:?}");
    let text = read("pci-docs/runbooks.md");
    assert_eq!(without_place(&text, &names), Vec::<String>::new());
    let cut = text
        .replace("`CloakroomStoreSlow`", "")
        .replace("`key_age`", "");
    assert_eq!(
        without_place(&cut, &names),
        ["CloakroomStoreSlow", "key_age"]
    );
}

/// Sections that lack a part, with the part.
fn halves(text: &str) -> Vec<(String, &'static str)> {
    let sections = text.split("\n## ").skip(1);
    sections
        .flat_map(|section| {
            let title = section.lines().next().unwrap_or_default().to_owned();
            let missing = PARTS.iter().filter(|part| {
                let begins = format!("\n**{part}:** ");
                section.matches(&begins).count() != 1
            });
            missing
                .map(move |part| (title.clone(), *part))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_runbook_is_whole_and_is_drilled() {
    let text = read("pci-docs/runbooks.md");
    assert!(text.matches("\n## ").count() >= 16);
    assert_eq!(halves(&text), []);
    for section in text.split("\n**Drilled by:** ").skip(1) {
        let line = section.lines().next().unwrap_or_default();
        assert!(line.contains("`test:"), "{line}");
    }
    let cut = text.replacen("\n**Over when:** ", "\n", 1);
    assert_eq!(
        halves(&cut),
        [("A client certificate is stolen".to_owned(), "Over when")]
    );
}

#[test]
fn every_kind_of_difference_has_its_line_in_the_runbook() {
    use cloakroom::reconciliation::{Kind, Repair};
    let text = read("pci-docs/runbooks.md");
    for kind in Kind::ALL {
        let name = format!("`{}`", kind.name());
        let mut lines = text.lines().filter(|line| line.starts_with('|'));
        let line = lines.find(|line| line.contains(&name));
        let line = line.unwrap_or_else(|| panic!("{name} has no line"));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let repaired = !cells[3].is_empty();
        assert_eq!(repaired, kind.repair() != Repair::Person, "{line}");
        assert_ne!(repaired, !cells[4].is_empty(), "{line}");
    }
}
