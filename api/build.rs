//! Puts the pages into `$OUT_DIR/ui`, from where they are embedded.
//!
//! `PORTICO_UI` unset: build them in `web/` when node is there, else take the small pages of `web/fallback`;
//! `PORTICO_UI=skip`: the small pages; `PORTICO_UI=<folder>`: pages that were built before.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../web");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("ui");
    println!("cargo::rerun-if-env-changed=PORTICO_UI");
    println!("cargo::rerun-if-changed=build.rs");
    let wish = env::var("PORTICO_UI").unwrap_or_default();
    let source = match wish.as_str() {
        "" => {
            for part in ["src", "pages", "build.mjs", "package.json", "package-lock.json", "fallback"] {
                println!("cargo::rerun-if-changed={}", web.join(part).display());
            }
            built(&web).unwrap_or_else(|why| {
                println!("cargo::warning=the full pages are not built, small ones take their place: {why}");
                web.join("fallback")
            })
        }
        "skip" => {
            println!("cargo::rerun-if-changed={}", web.join("fallback").display());
            web.join("fallback")
        }
        folder => {
            println!("cargo::rerun-if-changed={folder}");
            let folder = PathBuf::from(folder);
            if !folder.is_dir() {
                return Err(format!("PORTICO_UI={} is not a folder", folder.display()).into());
            }
            folder
        }
    };
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    if source.is_dir() {
        copy(&source, &out)?;
    }
    Ok(())
}

/// Builds `web/dist` and returns it.
fn built(web: &Path) -> Result<PathBuf, Failure> {
    if !web.join("build.mjs").is_file() {
        return Err("web/build.mjs is not there".into());
    }
    run(web, "node", &["--version"]).map_err(|_| "node is not installed")?;
    if !installed(web)? {
        run(web, "npm", &["ci", "--no-audit", "--no-fund"])?;
    }
    run(web, "node", &["build.mjs"])?;
    Ok(web.join("dist"))
}

/// Whether `node_modules` was made from the present lock file: npm notes what it installed in a hidden copy of it.
fn installed(web: &Path) -> Result<bool, Failure> {
    let (note, lock) = (web.join("node_modules/.package-lock.json"), web.join("package-lock.json"));
    Ok(note.is_file() && fs::metadata(note)?.modified()? >= fs::metadata(lock)?.modified()?)
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let done = Command::new(program).args(arguments).current_dir(folder).output()?;
    if done.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&done.stderr);
    let last: Vec<&str> = told.lines().rev().take(3).collect();
    Err(format!("'{program} {}' failed: {}", arguments.join(" "), last.join(" | ")).into())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
