//! Writes what the server has of a user into a folder, in forms that others can read.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use livecode_journal::{ReadError, Reader};
use livecode_protocol::{
    FileName,
    exercise::ExerciseDocument,
    results::ResultManifest,
    run_spec::{CaseSpec, RunSpec, StoredContents},
    session_folder::{
        CONTENTS_FILE, JOURNAL_FILE, RESULT_CONTENTS_FILE, RESULT_MANIFEST_FILE, RUN_SPEC_FILE, SESSION_FILE,
        SESSIONS_FOLDER,
    },
    token::TokenDocument,
};
use livecode_store::{AuditFilter, ControlStore, ControlStoreError, DayUsage, ExerciseScope, Share};
use serde::Serialize;
use serde_json::value::RawValue;

use super::keys_of;
use crate::{
    auth::{Owner, UserId},
    http::{entry_message, exercise_document, token_document},
    lifecycle::store_key_of_token,
    rfc3339::rfc3339,
    sessions::{SessionRecord, read_record},
};

/// Bytes of a journal that are held in memory at once.
const READ_BYTES: usize = 1024 * 1024;
/// The length of a day, in seconds.
const DAY_S: i64 = 24 * 60 * 60;

/// The number of things that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Sessions.
    pub sessions: u64,
    /// Tokens, with those that were revoked.
    pub tokens: u64,
    /// Actions of the audit.
    pub audit: u64,
    /// Sessions that were deleted or forgotten while the others were written. Nothing was written
    /// of them.
    pub forgotten: u64,
}

/// Why nothing, or not everything, could be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder exists.
    #[error("{0} exists already; choose another folder")]
    FolderExists(PathBuf),
    /// A file or folder cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// A file or folder of the data directory cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A journal cannot be read.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The control store fails.
    #[error(transparent)]
    ControlStore(#[from] ControlStoreError),
}

/// `user.json`.
#[derive(Serialize)]
struct UserDocument {
    user: UserId,
    tokens: Vec<UserToken>,
    shares: Vec<ShareOfUser>,
    exercises: Vec<ExerciseDocument>,
    usage: Vec<UsageDocument>,
    audit: Vec<AuditDocument>,
}

/// A token of the user.
#[derive(Serialize)]
struct UserToken {
    #[serde(flatten)]
    token: TokenDocument,
    /// When it was revoked.
    revoked: Option<String>,
}

/// A share of one of the user's sessions.
#[derive(Serialize)]
struct ShareOfUser {
    id: String,
    session: String,
    rights: &'static str,
    maker: String,
    created: String,
    expires: String,
    /// When it was revoked.
    revoked: Option<String>,
}

/// The usage of one day.
#[derive(Serialize)]
struct UsageDocument {
    day: String,
    /// The token for which it was counted, if it was counted for a token by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    cpu_ms: u64,
    output_bytes: u64,
}

/// An action of the audit, as `user.json` and `livecode users audit` have it.
#[derive(Serialize)]
struct AuditDocument {
    time: String,
    times: u64,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
}

/// Writes all that a data directory has of `user` into the new folder `folder`: `user.json`, and a
/// folder for each session with its record, what it was to run, its files and its output. A server
/// may run on the data meanwhile.
///
/// # Errors
/// See [`ExportError`]. What was written until then is left.
pub async fn export_user(data_dir: &Path, user: &UserId, folder: &Path) -> Result<ExportReport, ExportError> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ExportError::FolderExists(folder.to_owned()));
        }
        made => made.map_err(|error| ExportError::Write(folder.to_owned(), error))?,
    }
    let owner = Owner::User(user.clone());
    // A session that is deleted meanwhile is not the user's any more.
    let records = session_folders(data_dir)?
        .into_iter()
        .filter_map(|source| read_record(&source).ok().map(|record| (source, record)));
    let sessions: Vec<_> = records.filter(|(_, record)| record.owner == owner).collect();
    let mut document = UserDocument {
        user: user.clone(),
        tokens: vec![],
        shares: vec![],
        exercises: vec![],
        usage: vec![],
        audit: vec![],
    };
    if ControlStore::exists_in(data_dir) {
        let store = ControlStore::open(data_dir).await?;
        fill(&mut document, &store, user).await?;
        for (_, record) in &sessions {
            document.shares.extend(store.all_shares_of(record.id).await?.into_iter().map(share_of_user));
        }
    }
    write_json(&folder.join("user.json"), &document)?;
    let report = ExportReport {
        sessions: sessions.len() as u64,
        tokens: document.tokens.len() as u64,
        audit: document.audit.len() as u64,
        forgotten: 0,
    };
    let sessions_folder = folder.join("sessions");
    make_folder(&sessions_folder)?;
    let forgotten = export_sessions(sessions, &sessions_folder)?;
    Ok(ExportReport { sessions: report.sessions - forgotten, forgotten, ..report })
}

/// Exports sessions from their folders. Returns how many were forgotten meanwhile, of which
/// nothing is left.
fn export_sessions(sessions: Vec<(PathBuf, SessionRecord)>, folder: &Path) -> Result<u64, ExportError> {
    let mut forgotten = 0;
    for (source, record) in sessions {
        let target = folder.join(record.id.to_string());
        let exported = export_session(&source, &record, &target);
        // A folder that was moved away while it was read has perhaps been read in part.
        if matches!(source.try_exists(), Ok(false)) {
            forgotten += 1;
            let removed = fs::remove_dir_all(&target);
            removed.or_else(allow_missing).map_err(|error| ExportError::Write(target, error))?;
        } else {
            exported?;
        }
    }
    Ok(forgotten)
}

fn allow_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The folders of all sessions of a data directory.
pub(super) fn session_folders(data_dir: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let folder = data_dir.join(SESSIONS_FOLDER);
    match fs::read_dir(&folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(ExportError::Read(folder, error)),
    }
}

async fn fill(
    document: &mut UserDocument,
    store: &ControlStore,
    user: &UserId,
) -> Result<(), ControlStoreError> {
    let keys = keys_of(user);
    if let Some(name) = &keys.name {
        for token in store.all_tokens_of(name).await? {
            let usage = store.usage_of(&store_key_of_token(&token.id)).await?;
            document.usage.extend(usage.into_iter().map(|of_day| usage_document(of_day, Some(&token.id))));
            let revoked = token.revoked_us.map(rfc3339);
            document.tokens.push(UserToken { token: token_document(token, None), revoked });
        }
    }
    let usage = store.usage_of(&keys.payer).await?;
    document.usage.extend(usage.into_iter().map(|of_day| usage_document(of_day, None)));
    let scope = ExerciseScope::Owner(keys.actor.clone());
    for stored in store.exercises(&scope, None, usize::MAX).await? {
        // One that is deleted meanwhile is not the user's any more.
        if let Some((stored, contents)) = store.exercise(&stored.id, &scope).await? {
            document.exercises.push(exercise_document(stored, RawValue::from_string(contents).ok()));
        }
    }
    let filter = AuditFilter { actor: Some(keys.actor), max: u64::MAX, ..AuditFilter::default() };
    let audit = store.audit(&filter).await?;
    document.audit = audit
        .into_iter()
        .map(|action| AuditDocument {
            time: rfc3339(action.time_us),
            times: action.times,
            action: action.action,
            credential: action.credential,
            session: action.session,
            subject: action.subject,
            client: action.client,
        })
        .collect();
    Ok(())
}

fn usage_document((day, usage): (u64, DayUsage), token: Option<&String>) -> UsageDocument {
    UsageDocument {
        day: date(day),
        token: token.cloned(),
        cpu_ms: usage.cpu_ms,
        output_bytes: usage.output_bytes,
    }
}

fn share_of_user(share: Share) -> ShareOfUser {
    ShareOfUser {
        id: share.id,
        session: share.session.to_string(),
        rights: share.rights.as_str(),
        maker: share.maker,
        created: rfc3339(share.created_us),
        expires: rfc3339(share.expires_us),
        revoked: share.revoked_us.map(rfc3339),
    }
}

/// A day as a date (ISO 8601), in UTC. `day` counts from the epoch.
fn date(day: u64) -> String {
    let second = i64::try_from(day).ok().and_then(|day| day.checked_mul(DAY_S));
    let time = second.and_then(|second| jiff::Timestamp::from_second(second).ok());
    time.map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

fn export_session(source: &Path, record: &SessionRecord, target: &Path) -> Result<(), ExportError> {
    make_folder(target)?;
    write_json(&target.join(SESSION_FILE), record)?;
    if let Some(mut run_spec) = read_run_spec(source)? {
        if record.exercise.is_some() {
            hide_exercise(&mut run_spec);
        }
        export_request(source, run_spec, target)?;
    }
    export_results(source, &target.join("results"))?;
    export_output(&source.join(JOURNAL_FILE), &target.join("output.ndjson"))
}

/// The run spec of a session; `None` if there is no such file any more.
pub(super) fn read_run_spec(session_folder: &Path) -> Result<Option<RunSpec>, ExportError> {
    let path = session_folder.join(RUN_SPEC_FILE);
    let read = fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
    match read {
        Ok(run_spec) => Ok(Some(run_spec)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ExportError::Read(path, error)),
    }
}

/// Takes out of the run spec of a session for an exercise what is its author's alone: the checker,
/// and all of hidden cases but their names.
fn hide_exercise(run_spec: &mut RunSpec) {
    if let Some(cases) = &mut run_spec.cases {
        cases.checker = None;
        cases.cases.iter_mut().for_each(CaseSpec::hide);
    }
}

/// `request.json`, which has all but the contents of files, and the files themselves.
fn export_request(source: &Path, mut run_spec: RunSpec, target: &Path) -> Result<(), ExportError> {
    let folder = target.join("files");
    make_folder(&folder)?;
    for file in std::mem::take(&mut run_spec.files) {
        let path = file_path(&folder, &file.name)?;
        let bytes = file.contents.into_bytes().map_err(io::Error::other);
        bytes
            .and_then(|bytes| new_file(&path)?.write_all(&bytes))
            .map_err(|error| ExportError::Write(path, error))?;
    }
    let stdin_path = target.join("stdin");
    if let Some(stdin) = run_spec.stdin.take() {
        let bytes = stdin.into_bytes().map_err(io::Error::other);
        bytes
            .and_then(|bytes| new_file(&stdin_path)?.write_all(&bytes))
            .map_err(|error| ExportError::Write(stdin_path.clone(), error))?;
    }
    if let Some(stored) = &run_spec.stored {
        export_stored(&source.join(CONTENTS_FILE), stored, &folder, &stdin_path)?;
    }
    write_json(&target.join("request.json"), &run_spec)
}

/// The files of a large request. They are there only until the program has its copy.
fn export_stored(
    contents: &Path,
    stored: &StoredContents,
    folder: &Path,
    stdin_path: &Path,
) -> Result<(), ExportError> {
    let mut contents = match File::open(contents) {
        Ok(file) => io::BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ExportError::Read(contents.to_owned(), error)),
    };
    for file in &stored.files {
        copy(&mut contents, file.bytes, &file_path(folder, &file.name)?)?;
    }
    stored.stdin_bytes.map_or(Ok(()), |bytes| copy(&mut contents, bytes, stdin_path))
}

/// The files that the session has left, if any.
fn export_results(source: &Path, folder: &Path) -> Result<(), ExportError> {
    let path = source.join(RESULT_MANIFEST_FILE);
    let read = fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
    let manifest: ResultManifest = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| ExportError::Read(path, error))?,
    };
    if manifest.files.is_empty() {
        return Ok(());
    }
    make_folder(folder)?;
    let contents = source.join(RESULT_CONTENTS_FILE);
    let file = File::open(&contents).map_err(|error| ExportError::Read(contents, error))?;
    let mut contents = io::BufReader::new(file);
    for file in &manifest.files {
        copy(&mut contents, file.bytes, &file_path(folder, &file.name)?)?;
    }
    Ok(())
}

fn copy(from: &mut impl io::Read, bytes: u64, path: &Path) -> Result<(), ExportError> {
    let copied = new_file(path).and_then(|mut file| io::copy(&mut io::Read::take(from, bytes), &mut file));
    copied.map(drop).map_err(|error| ExportError::Write(path.to_owned(), error))
}

/// The output of a session, a message on each line, as its stream has them. The output of a session
/// that runs ends with what it has written until now.
fn export_output(journal: &Path, path: &Path) -> Result<(), ExportError> {
    let mut reader = match Reader::open(journal) {
        Ok(reader) => reader,
        Err(ReadError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let write_error = |error| ExportError::Write(path.to_owned(), error);
    let mut output = BufWriter::new(new_file(path).map_err(write_error)?);
    let closed_bytes = reader.closed_bytes()?;
    let until_bytes = closed_bytes.unwrap_or_else(|| fs::metadata(journal).map_or(0, |file| file.len()));
    // A read that meets a broken record returns nothing of what it has read. So the records of a
    // journal that grows are read one by one.
    let batch_bytes = if closed_bytes.is_some() { READ_BYTES } else { 1 };
    loop {
        let entries = match reader.read(until_bytes, batch_bytes) {
            // The last record of a journal that grows may not be whole.
            Err(ReadError::Corrupt { .. }) if closed_bytes.is_none() => break,
            entries => entries?,
        };
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            writeln!(output, "{}", entry_message(&entry)).map_err(write_error)?;
        }
    }
    output.flush().map_err(write_error)
}

/// The path of a file of a session. Its folders are made.
fn file_path(folder: &Path, name: &FileName) -> Result<PathBuf, ExportError> {
    let path = folder.join(name.as_str());
    let parent = path.parent().unwrap_or(folder);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(|error| ExportError::Write(parent.to_owned(), error))?;
    Ok(path)
}

fn make_folder(path: &Path) -> Result<(), ExportError> {
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| ExportError::Write(path.to_owned(), error))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ExportError> {
    let write = || {
        let mut file = new_file(path)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.write_all(b"\n")
    };
    write().map_err(|error: io::Error| ExportError::Write(path.to_owned(), error))
}

fn new_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use livecode_journal::{FlushResult, Kind, Writer};

    use super::*;

    #[test]
    fn a_session_that_is_forgotten_meanwhile_is_left_out() {
        let data = tempfile::tempdir().unwrap();
        let record = crate::runner::driver::tests::record();
        let sessions = ["gone", "there"].map(|name| (data.path().join(name), record.clone()));
        let target = data.path().join(record.id.to_string());
        fs::create_dir(&sessions[1].0).unwrap();
        let [gone, there] = sessions;
        assert_eq!(export_sessions(vec![gone.clone()], data.path()).unwrap(), 1);
        assert!(!target.exists());
        fs::create_dir(&gone.0).unwrap();
        // An error of a session that is there ends the export.
        fs::write(there.0.join(RUN_SPEC_FILE), "{").unwrap();
        assert!(export_sessions(vec![there], data.path()).is_err());
        fs::remove_dir_all(&target).unwrap();
        assert_eq!(export_sessions(vec![gone], data.path()).unwrap(), 0);
        assert!(target.join(SESSION_FILE).exists());
    }

    #[test]
    fn the_output_of_a_running_session_ends_with_its_last_whole_record() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join(JOURNAL_FILE);
        let mut writer = Writer::create(&journal).unwrap();
        for number in 0..5 {
            writer.push(Kind::Stdout, number, format!("line {number}\n").as_bytes());
        }
        assert_eq!(writer.flush(), FlushResult::Written);
        let copy = folder.path().join("copy");
        let whole = fs::read(&journal).unwrap();
        let end = whole.windows(6).rposition(|bytes| bytes == b"line 4").unwrap();
        fs::write(&copy, &whole[..end + 2]).unwrap();
        let path = folder.path().join("output.ndjson");
        export_output(&copy, &path).unwrap();
        let output = fs::read_to_string(path).unwrap();
        assert_eq!(output.lines().count(), 4, "{output}");
        assert!(output.contains("line 3") && !output.contains("line 4"), "{output}");
    }
}
