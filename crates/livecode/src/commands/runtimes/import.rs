//! `livecode runtimes import`.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, bail};
use clap::Args;
use livecode_image::{Archive, ImageError, ImageStore, Imported, ImportedImage, Limits, LockedStore};
use livecode_server::{
    catalogue::imported::{ImportedRuntimes, RuntimeToml},
    is_data_dir_taken,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    commands::{data_dir::DataDirArgs, runtimes::removal::describe_removal},
    failure::CommandFailure,
};

/// Makes a runtime of a container image: unpacks the image into the data directory, and writes a
/// `runtime.toml` for it.
///
/// The image is an OCI image layout, as a tar archive or a folder, or an archive that `docker save`
/// has written. No container engine is needed. Programs of the runtime see the image's files in
/// place of this machine's, read-only. Nothing of the image is executed outside of a sandbox. An
/// image that is here already is not unpacked again, and images that no runtime names any more are
/// removed.
///
/// SIGINT, SIGTERM or SIGHUP ends the import, which then removes what it has unpacked; a second one
/// ends it at once, and the next import or removal removes that.
///
/// A running server learns of the runtime by `livecode runtimes reload`.
#[derive(Args)]
pub struct Import {
    /// Name of the runtime, such as python@3.13. If an earlier import has made it, it gets the
    /// new image and keeps its runtime.toml otherwise. If it is the name of a built-in runtime, it
    /// replaces that one.
    name: String,
    /// Archive or folder of the image.
    image: PathBuf,
    /// Runtime whose commands, files and limits the new one gets; by default the one whose name is
    /// NAME, or the part of it before '@'.
    #[arg(long, value_name = "RUNTIME")]
    from: Option<String>,
    /// Largest uncompressed size of all layers of the image together, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().unpacked_bytes)]
    unpacked_max_bytes: u64,
    /// Largest number of files, folders and links of all layers together.
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().entries)]
    entries_max: u64,
    /// Folder of the operator's runtimes, as the server has it; by default that of the settings.
    #[arg(long, value_name = "FOLDER")]
    runtimes_dir: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

impl Import {
    pub fn run(self) -> Result<(), CommandFailure> {
        let settings = self.data_dir.settings()?;
        let data_dir = self.data_dir.find()?;
        prepare(&data_dir)?;
        let runtimes_dir = self.runtimes_dir.as_ref().or(settings.runtimes_dir.as_ref());
        let runtimes = ImportedRuntimes::new(&data_dir, runtimes_dir.map(PathBuf::as_path));
        runtimes.check_name(&self.name)?;
        let cancelled = cancelled_by_signals()?;
        // Until the runtime is written, nobody may remove the image that it names.
        let store = ImageStore::new(&data_dir);
        let images = store.lock().map_err(|error| self.refusal(&error))?;
        let imported = self.import(&runtimes, &store, &images, settings.disk_min_free_bytes, &cancelled);
        // After a failure, too: the image may be unpacked, and no runtime name it.
        let removal = runtimes.remove_unnamed_images(&images);
        let (imported, toml, path) = imported?;
        let mut out = io::stdout().lock();
        writeln!(out, "{}", describe(&imported))?;
        for note in &toml.notes {
            writeln!(out, "note: {note}")?;
        }
        match removal {
            Ok(removal) => describe_removal(&removal, &mut out)?,
            Err(error) => writeln!(out, "note: {error}")?,
        }
        writeln!(out, "{}", path.display())?;
        if is_data_dir_taken(&data_dir) {
            writeln!(out, "`livecode runtimes reload` makes the running server use it")?;
        }
        Ok(())
    }

    /// Unpacks the image, and writes the `runtime.toml`. Returns its path.
    fn import(
        &self,
        runtimes: &ImportedRuntimes,
        store: &ImageStore,
        images: &LockedStore,
        min_free_bytes: u64,
        cancelled: &AtomicBool,
    ) -> anyhow::Result<(Imported, RuntimeToml, PathBuf)> {
        let limits = Limits {
            unpacked_bytes: self.unpacked_max_bytes,
            entries: self.entries_max,
            ..Limits::default()
        };
        let refusal = |error: ImageError| self.refusal(&error);
        let template = runtimes.template(&self.name, self.from.as_deref())?;
        let archive = Archive::open(&self.image, &limits, cancelled).map_err(refusal)?;
        // A template that does not fit is told before the image is unpacked.
        let image = archive.image();
        let root = store.root(&image.digest);
        runtimes.make_toml(&self.name, &image, &root, &template)?;
        let imported = images.import(&archive, &limits, min_free_bytes, cancelled).map_err(refusal)?;
        let toml = runtimes.make_toml(&self.name, &imported.image, &root, &template)?;
        let path = runtimes.write(&self.name, &toml.text)?;
        Ok((imported, toml, path))
    }

    /// The error of an image that is refused. It has names of the image, which must not control a
    /// terminal.
    fn refusal(&self, error: &ImageError) -> anyhow::Error {
        let (image, code) = (self.image.display(), error.code());
        let text = error.to_string().replace(char::is_control, "\u{fffd}");
        anyhow::anyhow!("{image} cannot be imported: {text} ({code})")
    }
}

/// A line about an image.
fn describe(Imported { image, is_new }: &Imported) -> String {
    let ImportedImage { digest, unpacked_bytes, entries, left_out, .. } = image;
    let what = if *is_new { "unpacked" } else { "is here already" };
    let left_out = match left_out {
        0 => String::new(),
        count => format!("; {count} devices and named pipes were left out"),
    };
    format!("{digest} {what}: {} MB, {entries} entries{left_out}", unpacked_bytes.div_ceil(1_000_000))
}

/// Makes the data directory if there is none. Refuses one of another user: the server could not
/// read the image.
fn prepare(data_dir: &Path) -> anyhow::Result<()> {
    let make = || fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    make().with_context(|| format!("cannot make {}", data_dir.display()))?;
    let owner = fs::metadata(data_dir).with_context(|| format!("cannot read {}", data_dir.display()))?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        bail!("{} belongs to the user {owner}; run this as that user, as the server is", data_dir.display());
    }
    Ok(())
}

/// A flag that becomes true when the user or the system asks this process to end. The import then
/// removes what it has unpacked. A second signal ends the process at once.
fn cancelled_by_signals() -> io::Result<Arc<AtomicBool>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let flag = cancelled.clone();
    thread::spawn(move || {
        for is_second in [false, true] {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
            if is_second {
                process::exit(1);
            }
            flag.store(true, Ordering::Relaxed);
        }
    });
    Ok(cancelled)
}
