//! The tables of a document, read as an assessor's own program would read them.

/// A table, with where it stands.
pub(crate) struct Table {
    /// The heading above it, without its marks.
    pub(crate) heading: String,
    /// What is written between that heading and the table.
    pub(crate) before: String,
    /// The names of its columns.
    pub(crate) columns: Vec<String>,
    /// Its rows.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The cells of a line; a bar within a cell is written `\|`.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner
        .replace("\\|", "\u{0}")
        .split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

/// Every table of a document, in its order.
pub(crate) fn tables(document: &str) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    let (mut heading, mut before) = (String::new(), String::new());
    let mut is_within = false;
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
            before.clear();
        }
        if !line.starts_with('|') {
            is_within = false;
            before.push_str(line);
            before.push('\n');
        } else if is_within {
            found.last_mut().unwrap().rows.push(cells(line));
        } else {
            let rule = lines.next().unwrap_or_default();
            assert!(rule.starts_with("| ---"), "a table without a head: {line}");
            is_within = true;
            found.push(Table {
                heading: heading.clone(),
                before: before.clone(),
                columns: cells(line),
                rows: Vec::new(),
            });
        }
    }
    found
}

/// The tests that a text cites.
pub(crate) fn tests_cited(text: &str) -> impl Iterator<Item = String> {
    text.split("`test:")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('`')?.0.to_owned()))
}

#[test]
fn tables_are_found_with_their_heading_and_a_bar_may_stand_in_a_cell() {
    let found = tables("# A\nsee `test:one`\n\n| a | b |\n| --- | --- |\n| 1 | x\\|y |\n\n## B\n");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].heading, "A");
    assert_eq!(found[0].columns, ["a", "b"]);
    assert_eq!(found[0].rows, [["1", "x|y"]]);
    assert_eq!(
        tests_cited(&found[0].before).collect::<Vec<_>>(),
        ["one".to_owned()]
    );
}
