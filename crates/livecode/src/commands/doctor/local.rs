//! The examination of this machine.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::Context as _;
use livecode_sandbox::doctor::{DoctorReport, Finding, Remedy, Verdict, probe};
use livecode_server::catalogue::Catalogue;
use serde_json::{Value, json};

use super::report::{EXIT_CANNOT_RUN, Printer, exit_code, json_findings, overall_verdict};
use crate::{client::print_status, failure::CommandFailure};

/// Examines this machine with the rights of the calling user, and prints the findings.
pub fn examine(runtimes_dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandFailure> {
    let failed = |error: anyhow::Error| CommandFailure { error, exit_code: EXIT_CANNOT_RUN };
    let staging = tempfile::tempdir().context("cannot create a temporary folder").map_err(failed)?;
    let toolchains = toolchains(runtimes_dir).map_err(failed)?;
    let mut report = probe(staging.path().to_owned(), toolchains);
    report.findings.push(local_user());
    if json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&json_document(&report))?)?;
    } else {
        let mut printer = Printer::stdout();
        for finding in &report.findings {
            printer.print(finding)?;
        }
        printer.print_summary(&summary(&report))?;
    }
    Ok(ExitCode::from(exit_code(&report.findings, report.can_run)))
}

/// The remedy that the doctor proposes first for each thing that is not in order here, without
/// repetitions. The doctor is another process, since it makes namespaces and so needs a single
/// thread.
pub fn proposals() -> Vec<String> {
    let output = Command::new("/proc/self/exe").args(["doctor", "--json"]).stdin(Stdio::null()).output();
    let document: Value =
        output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default();
    let mut proposals = vec![];
    for finding in document["findings"].as_array().into_iter().flatten() {
        let remedy = &finding["remedies"][0];
        let proposal = match (remedy["what"].as_str(), remedy["command"].as_str()) {
            (Some(what), Some(command)) => format!("{what}: {command}"),
            (Some(what), None) => what.to_owned(),
            _ => continue,
        };
        if finding["verdict"] != "ok" && !proposals.contains(&proposal) {
            proposals.push(proposal);
        }
    }
    proposals
}

/// The folders of the machine that the sandboxes of some runtime have, besides those that all
/// have, among them the roots of runtimes.
fn toolchains(runtimes_dir: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let unpacked = tempfile::tempdir().context("cannot create a temporary folder")?;
    let catalogue = Catalogue::load(unpacked.path(), runtimes_dir).context("cannot read the runtimes")?;
    for warning in catalogue.warnings() {
        print_status(format_args!("{warning}"));
    }
    let mounted = catalogue.iter().flat_map(|runtime| &runtime.mounts).map(|mount| &mount.source);
    let roots = catalogue.iter().filter_map(|runtime| runtime.root.as_ref());
    let sources = mounted.chain(roots).cloned();
    let sources: BTreeSet<PathBuf> = sources.filter(|source| !source.starts_with(unpacked.path())).collect();
    Ok(sources.into_iter().collect())
}

/// Whether a server could know its local user (`livecode_server::auth`).
fn local_user() -> Finding {
    let name = "local user";
    let Err(error) = livecode_server::auth::try_peer_users() else {
        let found = "the kernel tells to which user a connection from this machine belongs".to_owned();
        return Finding { name, verdict: Verdict::Ok, found, remedies: vec![] };
    };
    let remedy = |what: &str, command: Option<&str>| Remedy {
        what: what.to_owned(),
        command: command.map(str::to_owned),
    };
    Finding {
        name,
        verdict: Verdict::Degraded,
        found: format!(
            "nobody: the kernel does not tell to which user a connection from this machine belongs: {error}"
        ),
        remedies: vec![
            remedy("the kernel's module tcp_diag answers this; load it", Some("sudo modprobe tcp_diag")),
            remedy(
                "or, where everybody who reaches the server may use all sessions",
                Some("livecode serve --local-user all"),
            ),
        ],
    }
}

fn summary(report: &DoctorReport) -> String {
    let imperfect = report.findings.iter().filter(|finding| finding.verdict != Verdict::Ok).count();
    if !report.can_run {
        "No program can be run here: `livecode serve` will not start.".into()
    } else if imperfect == 0 {
        "Everything is enforced.".into()
    } else if report.degraded.is_empty() {
        format!("All limits are enforced; {imperfect} of these could be better.")
    } else {
        "Programs run here, but not all limits are enforced: `livecode serve` listens only on loopback, unless it is \
         started with --allow-degraded, and --allow-anonymous if auth is \"open\"."
            .into()
    }
}

/// The report as the JSON document that `--json` prints.
fn json_document(report: &DoctorReport) -> Value {
    json!({
        "verdict": overall_verdict(&report.findings, report.can_run),
        "degraded": report.degraded,
        "findings": json_findings(&report.findings),
    })
}
