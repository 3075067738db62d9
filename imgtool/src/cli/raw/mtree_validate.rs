//! `raw mtree-validate`: a tree against a manifest.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::fs::{Mode, OFlags};

use super::super::arguments::MemoryArguments;
use crate::layer::path_list::PathList;
use crate::layer::rootfs::RootFs;
use crate::memory_budget::MemoryBudget;
use crate::mtree::{self, Keyword, Manifest};

/// Compares a directory with an mtree manifest, such as that of a bundle.
///
/// Prints each path that differs, and fails if any does. Without rights to read all of it, what
/// belongs to the caller is made readable meanwhile, so --rootless isn't needed; umoci has it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img raw mtree-validate -f bundle/sha256_*.mtree -p bundle/rootfs"
)]
pub struct MtreeValidate {
    /// The manifest.
    #[arg(long, short = 'f', alias = "file", value_name = "MANIFEST")]
    manifest: PathBuf,

    /// The directory.
    #[arg(long, short, value_name = "DIRECTORY")]
    path: PathBuf,

    /// Compare these keywords, in place of those that the manifest uses.
    #[arg(long, short = 'k', value_name = "KEYWORDS", value_delimiter = ',')]
    use_keywords: Vec<String>,

    /// Compare these keywords, too.
    #[arg(long, short = 'K', value_name = "KEYWORDS", value_delimiter = ',')]
    add_keywords: Vec<String>,

    /// Compare the keywords that umoci compares.
    #[arg(long)]
    umoci_keywords: bool,

    #[command(flatten)]
    memory: MemoryArguments,

    /// Does nothing, as it is never needed.
    #[arg(long, hide = true)]
    rootless: bool,
}

impl MtreeValidate {
    pub(super) fn run(self) -> Result<()> {
        self.memory.apply();
        let memory = MemoryBudget::default();
        let context = || format!("{}", self.manifest.display());
        let file = File::open(&self.manifest).with_context(context)?;
        let manifest = Manifest::read(file, &memory).with_context(context)?;
        let keywords = self.keywords(&manifest)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.path, flags, Mode::empty())
            .with_context(|| format!("open {}", self.path.display()))?;
        let mut differences = PathList::new(&memory);
        let root = RootFs::new(root);
        mtree::compare(manifest, &root, &keywords, |path, difference| {
            differences.push(path, difference.to_string().into_boxed_str())
        })?;
        let differences = differences.sorted();
        let mut output = std::io::stdout().lock();
        for (path, difference) in differences {
            writeln!(output, "\"{path}\": {difference}")?;
        }
        match differences.len() {
            0 => Ok(()),
            count => bail!("{} differs in {count} paths", self.path.display()),
        }
    }

    fn keywords(&self, manifest: &Manifest) -> Result<Vec<Keyword>> {
        let parsed = |names: &[String]| -> Result<Vec<Keyword>> {
            let words = names
                .iter()
                .flat_map(|names| names.split_ascii_whitespace());
            words.map(|name| Ok(name.parse()?)).collect()
        };
        let mut keywords = if !self.use_keywords.is_empty() {
            parsed(&self.use_keywords)?
        } else if self.umoci_keywords {
            mtree::UMOCI.to_vec()
        } else {
            parsed(manifest.keywords())?
        };
        // Nothing else makes sense for two files of different types.
        keywords.push(Keyword::Type);
        keywords.extend(parsed(&self.add_keywords)?);
        keywords.sort();
        keywords.dedup();
        Ok(keywords)
    }
}
