//! One script of several modules: each page has one, which stands in the page itself.
//!
//! `web/` is written as ES modules, small enough to be read and tested one by one. What is served
//! is made of them here, so that a page needs nothing but itself: no second request that a slow
//! line waits for, none that is lost, none that another release of ours does not know.
//!
//! Each module becomes a function with a scope of its own that answers what the module exports.
//! The sources keep to a form that a line tells: `import { a, b } from "./x.js";` on one line, and
//! `export` before `const`, `function`, `async function` or `class`.

use std::fmt::Write as _;

/// What can stand behind `export`.
const DECLARATIONS: [&str; 4] = ["const ", "function ", "async function ", "class "];

/// The script of `entry` and of all that it imports, with each module before those that import it.
/// `source` answers a module's text without comments.
pub(super) fn bundle<'a>(entry: &str, source: &impl Fn(&str) -> Option<&'a str>) -> String {
    let mut done = Vec::new();
    let mut script = String::from("(() => {\n\"use strict\";\n");
    add(entry, source, &mut done, &mut script);
    script.push_str("})();\n");
    script
}

fn add<'a>(
    name: &str,
    source: &impl Fn(&str) -> Option<&'a str>,
    done: &mut Vec<String>,
    script: &mut String,
) {
    if done.iter().any(|known| known == name) {
        return;
    }
    // A module that is not there leaves its name undefined: the first test that opens a page fails.
    let text = source(name).unwrap_or_default();
    done.push(name.to_owned());
    let imports: Vec<(String, String)> =
        text.lines().filter_map(|line| import(name, line)).collect();
    for (_, from) in &imports {
        add(from, source, done, script);
    }
    let mut body = String::new();
    let mut exports = Vec::new();
    for line in text.lines() {
        if import(name, line).is_some() {
            continue;
        }
        if let Some(declared) = line.strip_prefix("export ") {
            exports.extend(declared_name(declared));
            push(&mut body, declared);
        } else {
            push(&mut body, line);
        }
    }
    // Writing to a String cannot fail.
    let _infallible = writeln!(script, "const {} = (() => {{", variable(name));
    for (names, from) in &imports {
        let _infallible = writeln!(script, "const {{{names}}} = {};", variable(from));
    }
    script.push_str(&body);
    let _infallible = writeln!(script, "return {{ {} }};\n}})();", exports.join(", "));
}

/// The names that a line imports, as a pattern, and the module they come from.
fn import(importer: &str, line: &str) -> Option<(String, String)> {
    let rest = line.strip_prefix("import {")?;
    let (names, from) = rest.split_once("} from \"./")?;
    let (file, _) = from.split_once('"')?;
    let dir = importer.rsplit_once('/').map_or("", |(dir, _)| dir);
    let path = if dir.is_empty() {
        file.to_owned()
    } else {
        [dir, "/", file].concat()
    };
    Some((names.replace(" as ", ": "), path))
}

/// The name that a declaration declares.
fn declared_name(declaration: &str) -> Option<String> {
    let rest = DECLARATIONS
        .iter()
        .find_map(|kind| declaration.strip_prefix(kind))?;
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    Some(rest.get(..end?)?.to_owned())
}

/// A module's name as a variable: `locales/de.js` is `locales_de`.
fn variable(name: &str) -> String {
    let stem = name.strip_suffix(".js").unwrap_or(name);
    ["$", &stem.replace(['/', '-'], "_")].concat()
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_stands_once_before_those_that_import_it_and_hides_what_it_does_not_export() {
        let source = |name: &str| match name {
            "a.js" => {
                Some("import { b } from \"./b.js\";\nimport { c as d } from \"./c.js\";\nb(d);\n")
            }
            "b.js" => {
                Some("import { c } from \"./c.js\";\nconst own = c;\nexport function b() {}\n")
            }
            "c.js" => Some("export const c = 1;\n"),
            _ => None,
        };
        assert_eq!(
            bundle("a.js", &source),
            "(() => {\n\"use strict\";\n\
             const $c = (() => {\nconst c = 1;\nreturn { c };\n})();\n\
             const $b = (() => {\nconst { c } = $c;\nconst own = c;\nfunction b() {}\nreturn { b };\n})();\n\
             const $a = (() => {\nconst { b } = $b;\nconst { c: d } = $c;\nb(d);\nreturn {  };\n})();\n})();\n"
        );
    }
}
