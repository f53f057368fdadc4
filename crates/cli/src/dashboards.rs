//! `pumphandle dashboards`: Grafana's dashboards as files, or whether files are what they should be.

use std::path::Path;

use anyhow::Context;
use pumphandle_report::dashboards::{self, File};

use crate::args::DashboardsArguments;
use crate::{End, screen};

pub(crate) fn dashboards(arguments: &DashboardsArguments) -> anyhow::Result<End> {
    let files = dashboards::files();
    match &arguments.check {
        Some(folder) => check(folder, &files),
        None => write(&arguments.out, &files),
    }
}

fn write(folder: &Path, files: &[File]) -> anyhow::Result<End> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for file in files {
        let path = folder.join(&file.name);
        std::fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
        screen::print(&format!("{}\n", path.display()))?;
    }
    Ok(End::Held)
}

fn check(folder: &Path, files: &[File]) -> anyhow::Result<End> {
    let mut stale = Vec::new();
    for file in files {
        let path = folder.join(&file.name);
        match std::fs::read_to_string(&path) {
            Ok(text) if text == file.text => {}
            Ok(_) => stale.push(format!("{} is not current: pumphandle dashboards", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                stale.push(format!("{} is missing: pumphandle dashboards", path.display()));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    for name in others(folder, files)? {
        stale.push(format!("{} is no dashboard of this version: delete it", folder.join(name).display()));
    }
    stale.iter().try_for_each(|sentence| screen::print(&format!("{sentence}\n")))?;
    Ok(if stale.is_empty() { End::Held } else { End::Broken })
}

/// JSON files of the folder that this version does not write; a folder that is not there has none.
fn others(folder: &Path, files: &[File]) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("cannot read {}", folder.display()))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|name| name.ends_with(".json") && !files.iter().any(|file| file.name == *name));
    names.sort();
    Ok(names)
}
