//! What somebody else's Dockerfile, and the ignore file beside it, may say.

use std::collections::BTreeMap;

use windlass_img::build::context::ignore::Ignore;
use windlass_img::build::dockerfile::stages::{Dockerfile, Stage};
use windlass_img::build::dockerfile::{Instruction, Statement};
use windlass_img::build::variables::Scope;
use windlass_img::layer::path::ImagePath;

/// `f` and a Dockerfile, `i` and an ignore file.
pub fn dockerfile(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match kind {
        b'f' => file(text),
        b'i' => ignore(text),
        _ => {}
    }
}

/// It is refused in one line, or its instructions stand where they say that they do, and each, alone,
/// means the same.
fn file(text: &str) {
    let dockerfile = match Dockerfile::parse(text, "file") {
        Ok(dockerfile) => dockerfile,
        Err(error) => {
            let message = format!("{error:#}");
            assert!(!message.contains('\n'), "{message:?}");
            return;
        }
    };
    let mut scope = Scope::new(dockerfile.escape, BTreeMap::new());
    scope.set_environment(&["A=value".to_owned(), "B=two \"words\" $A \\".to_owned()]);
    let mut last = 0;
    let of_stages = dockerfile.stages.iter().flat_map(|stage| &stage.statements);
    for statement in dockerfile.arguments.iter().chain(of_stages) {
        let line = statement.place.line;
        assert!(line > last && line <= text.lines().count(), "{statement:?}");
        last = line;
        // Whatever a variable makes of them, it does so without a panic, and within bounds.
        drop(scope.word(&statement.text));
        drop(scope.words(&statement.text));
        drop(scope.document(&statement.text));
        stands_alone(statement, dockerfile.escape);
    }
}

fn stands_alone(statement: &Statement, escape: char) {
    let Statement { keyword, text, .. } = statement;
    // Its documents aren't in its text; a stage's first line isn't a statement of the stage.
    if text.contains("<<") || matches!(statement.instruction, Instruction::From(_)) {
        return;
    }
    let alone = format!("# escape={escape}\nFROM scratch\n{keyword} {text}\n");
    let alone = Dockerfile::parse(&alone, "alone").expect("it was read before");
    let [Stage { statements, .. }] = &alone.stages[..] else {
        panic!("several stages of {statement:?}");
    };
    let [alone] = &statements[..] else {
        panic!("{statement:?} became {statements:?}");
    };
    assert_eq!(alone.instruction, statement.instruction, "{text:?}");
}

/// It is refused in one line, or says of every path whether it is left out.
fn ignore(text: &str) {
    let ignore = match Ignore::parse(text) {
        Ok(ignore) => ignore,
        Err(error) => {
            let message = format!("{error:#}");
            assert!(!message.contains('\n'), "{message:?}");
            return;
        }
    };
    let brings_back = ignore.may_bring_back();
    let paths = text
        .lines()
        .map(str::as_bytes)
        .chain([b"a".as_slice(), b"a/b/c.txt"]);
    for path in paths.filter_map(|line| ImagePath::parse(line).ok()) {
        let is_out = ignore.leaves_out(&path);
        let below = path.join(b"below");
        assert!(
            !is_out || brings_back || ignore.leaves_out(&below),
            "{below:?}"
        );
    }
}
