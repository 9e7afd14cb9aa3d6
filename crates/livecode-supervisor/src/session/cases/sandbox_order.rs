//! The orders of the sandboxes of a session with cases. None of them learns of another case, nor
//! what its own case expects: each gets a run spec that has no cases.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
};

use livecode_protocol::{
    FileName,
    run_spec::{CaseSpec, CompileCacheEntry, Contents, RunSpec, StoredContents, StoredFile},
};

use crate::session::folder::SessionFolder;

/// The order of one sandbox.
pub(crate) struct SandboxOrder {
    pub run_spec: RunSpec,
    /// The file that init reads the run spec from.
    pub run_spec_file: File,
    /// The contents file, if the run spec has stored contents.
    pub contents_file: Option<File>,
}

/// The files and the commands that all cases share.
pub(super) struct Template {
    /// The run spec without cases, compile steps, files and standard input.
    run_spec: RunSpec,
    files: Vec<SharedFile>,
    /// The session's contents file, if it has one.
    contents_file: Option<File>,
    /// The contents of all shared files, and after them those of the last case that had all of
    /// them; `None` before there was one. So they are written once.
    shared_contents: Option<SharedPrefix>,
}

/// A contents file that begins with all shared files.
struct SharedPrefix {
    file: File,
    files: Vec<StoredFile>,
    bytes: u64,
}

/// A file that every case has, unless it replaces it.
struct SharedFile {
    name: FileName,
    contents: SharedContents,
}

enum SharedContents {
    Inline(Vec<u8>),
    /// A part of the session's contents file.
    Stored {
        offset: u64,
        bytes: u64,
    },
}

impl Template {
    /// Takes the template from a session's run spec and contents file.
    ///
    /// # Errors
    /// If a file is malformed, which it never is in a run spec that a server has written.
    pub fn new(run_spec: &RunSpec, contents_file: Option<File>) -> io::Result<Self> {
        let mut files = vec![];
        for file in &run_spec.files {
            let bytes = file.contents.clone().into_bytes().map_err(io::Error::other)?;
            files.push(SharedFile { name: file.name.clone(), contents: SharedContents::Inline(bytes) });
        }
        let mut offset = 0;
        for StoredFile { name, bytes } in run_spec.stored.iter().flat_map(|stored| &stored.files) {
            let contents = SharedContents::Stored { offset, bytes: *bytes };
            files.push(SharedFile { name: name.clone(), contents });
            offset += bytes;
        }
        let run_spec = RunSpec {
            compile: vec![],
            files: vec![],
            stdin: None,
            stored: None,
            cache: None,
            cases: None,
            ..run_spec.clone()
        };
        Ok(Self { run_spec, files, contents_file, shared_contents: None })
    }

    /// The order for the sandbox of a case. The sandbox of the case before it has ended, since
    /// both may have the same contents file.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn order_for(&mut self, case: &CaseSpec, folder: &SessionFolder) -> io::Result<SandboxOrder> {
        let replaced: HashSet<&FileName> = case.files.iter().map(|file| &file.name).collect();
        let (mut contents, mut files) = if self.files.iter().any(|file| replaced.contains(&file.name)) {
            let mut contents = folder.create_nameless()?;
            let files = self.write_shared_except(&replaced, &mut contents)?;
            (contents, files)
        } else {
            self.shared_prefix(folder)?
        };
        for file in &case.files {
            let bytes = write_contents(&file.contents, &mut contents)?;
            files.push(StoredFile { name: file.name.clone(), bytes });
        }
        let stdin_bytes = Some(write_contents(&case.stdin, &mut contents)?);
        let mut run_spec = self.run_spec.clone();
        run_spec.stored = Some(StoredContents { files, stdin_bytes });
        run_spec.run.argv.extend(case.args.iter().cloned());
        run_spec.limits.wall_ms = case.wall_ms;
        Ok(SandboxOrder {
            run_spec_file: write_run_spec(&run_spec, folder)?,
            run_spec,
            contents_file: Some(contents),
        })
    }

    /// The contents file that begins with all shared files, positioned and cut off after them, and
    /// the list of these.
    fn shared_prefix(&mut self, folder: &SessionFolder) -> io::Result<(File, Vec<StoredFile>)> {
        let prefix = match self.shared_contents.take() {
            Some(prefix) => prefix,
            None => {
                let mut file = folder.create_nameless()?;
                let files = self.write_shared_except(&HashSet::new(), &mut file)?;
                let bytes = file.stream_position()?;
                SharedPrefix { file, files, bytes }
            }
        };
        let SharedPrefix { file, files, bytes } = self.shared_contents.insert(prefix);
        file.set_len(*bytes)?;
        file.seek(SeekFrom::Start(*bytes))?;
        Ok((file.try_clone()?, files.clone()))
    }

    /// Writes the shared files whose names are not `replaced`.
    fn write_shared_except(
        &self,
        replaced: &HashSet<&FileName>,
        into: &mut File,
    ) -> io::Result<Vec<StoredFile>> {
        let mut files = vec![];
        for SharedFile { name, contents } in &self.files {
            if !replaced.contains(name) {
                let bytes = self.write_shared(contents, into)?;
                files.push(StoredFile { name: name.clone(), bytes });
            }
        }
        Ok(files)
    }

    fn write_shared(&self, shared: &SharedContents, into: &mut File) -> io::Result<u64> {
        match shared {
            SharedContents::Inline(bytes) => into.write_all(bytes).map(|()| bytes.len() as u64),
            SharedContents::Stored { offset, bytes } => {
                let mut stored = self.contents_file.as_ref().ok_or(io::ErrorKind::NotFound)?;
                stored.seek(SeekFrom::Start(*offset))?;
                match io::copy(&mut stored.take(*bytes), into)? {
                    copied if copied == *bytes => Ok(*bytes),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        }
    }
}

impl SandboxOrder {
    /// Makes this order, which is that of a whole session, one for its compile steps alone. Their
    /// artefacts are those of `slot`, and all the time of the cases is theirs.
    ///
    /// # Errors
    /// If the run spec cannot be written.
    pub(super) fn limit_to_compiling(
        &mut self,
        slot: &CompileCacheEntry,
        wall_ms: u64,
        folder: &SessionFolder,
    ) -> io::Result<()> {
        // The program, which is not started here, gets no input.
        match &mut self.run_spec.stored {
            Some(stored) => stored.stdin_bytes = Some(0),
            None => self.run_spec.stdin = Some(Contents::Text(String::new())),
        }
        self.run_spec.cache = Some(slot.clone());
        self.run_spec.limits.wall_ms = wall_ms;
        self.run_spec_file = write_run_spec(&self.run_spec, folder)?;
        Ok(())
    }
}

fn write_contents(contents: &Contents, into: &mut File) -> io::Result<u64> {
    let bytes = contents.clone().into_bytes().map_err(io::Error::other)?;
    into.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}

fn write_run_spec(run_spec: &RunSpec, folder: &SessionFolder) -> io::Result<File> {
    let mut file = folder.create_nameless()?;
    file.write_all(&serde_json::to_vec(run_spec)?)?;
    Ok(file)
}
