//! `livecode runtimes import`.

use std::{
    fs,
    future::poll_fn,
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread,
};

use anyhow::Context as _;
use clap::Args;
use livecode_image::{Archive, ImageError, ImageStore, Imported, ImportedImage, Limits, LockedStore};
use livecode_server::{
    catalogue::imported::{ImportedRuntimes, RuntimeToml},
    is_data_dir_taken,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    commands::{
        data_dir::{DataDirArgs, check_owner},
        runtimes::removal::describe_removal,
    },
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
/// ends it at once, and the next import or removal removes that. A signal that was ignored when the
/// import was started, as nohup has it, stays ignored.
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
        let expected = runtimes.make_toml(&self.name, &image, &root, &template)?;
        runtimes.check_change(&self.name, Some(&expected.text))?;
        let imported = images.import(&archive, &limits, min_free_bytes, cancelled).map_err(refusal)?;
        let mut toml = runtimes.make_toml(&self.name, &imported.image, &root, &template)?;
        if self.from.is_some()
            && let Some(kept) = runtimes.keep_earlier(&self.name)?
        {
            toml.notes.push(format!("the earlier runtime.toml is kept as {}", kept.display()));
        }
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

/// Makes the data directory if there is none. Refuses one of another user.
fn prepare(data_dir: &Path) -> anyhow::Result<()> {
    let make = || fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    make().with_context(|| format!("cannot make {}", data_dir.display()))?;
    check_owner(data_dir)
}

/// Whether this process ignored a signal when it was started, as nohup(1) has it.
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (mask >> (signal.as_raw_value() - 1)) & 1 == 1
}

/// A flag that becomes true when the user or the system asks this process to end. The import then
/// removes what it has unpacked. A second signal ends the process at once.
fn cancelled_by_signals() -> io::Result<Arc<AtomicBool>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals: Vec<Signal> = {
        let _guard = runtime.enter();
        kinds.into_iter().filter(|kind| !is_ignored(*kind)).map(signal).collect::<io::Result<_>>()?
    };
    let flag = cancelled.clone();
    thread::spawn(move || {
        for is_second in [false, true] {
            runtime.block_on(poll_fn(|context| {
                let has_come = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
                if has_come { Poll::Ready(()) } else { Poll::Pending }
            }));
            if is_second {
                process::exit(1);
            }
            flag.store(true, Ordering::Relaxed);
        }
    });
    Ok(cancelled)
}
