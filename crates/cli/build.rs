//! Compiles every file of `scenarios/` and of `presets/` into the binary, so that it works from any folder. A new
//! incident is a new file there and nothing else, and so is a new preset.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    write(&list("scenarios", "SHIPPED"), "shipped.rs");
    write(&list("presets", "PRESETS"), "presets.rs");
}

/// Code for a constant with name and text of every file in a folder of the repository.
fn list(folder: &str, constant: &str) -> String {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let path = root.join(folder);
    println!("cargo::rerun-if-changed={}", path.display());
    let mut files: Vec<_> = fs::read_dir(&path)
        .expect("the folder is part of the repository")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut code = format!("pub(crate) const {constant}: &[(&str, &str)] = &[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.file_name().expect("a file has a name").to_string_lossy();
        let full = file.canonicalize().expect("the file was just listed");
        writeln!(code, "    (\"{folder}/{name}\", include_str!({full:?})),").expect("strings grow");
    }
    code.push_str("];\n");
    code
}

fn write(code: &str, file: &str) {
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join(file);
    fs::write(out, code).expect("the output folder is writable");
}
