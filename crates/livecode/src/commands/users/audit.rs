//! `livecode users audit`.

use std::{
    io::{self, Write as _},
    path::Path,
};

use clap::Args;
use livecode_protocol::{SessionId, now_us};
use livecode_server::{
    auth::{Owner, UserId},
    rfc3339,
};
use livecode_store::{AuditFilter, AuditedAction, ControlStore};
use serde_json::json;

use super::{
    super::{tables::print_table, time_span::TimeSpan},
    block_on,
};

/// Show who created, watched, shared and ended which session, and who changed tokens: the latest
/// first.
#[derive(Args)]
pub struct AuditCommand {
    /// Only what this user did; with --issuer its `sub`.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Issuer (`iss`) of a user of JWTs.
    #[arg(long, value_name = "URL", requires = "user")]
    issuer: Option<String>,
    /// Only what was done with this session.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only what was done in this time until now, such as 7d, 12h or 30m.
    #[arg(long, value_name = "TIME")]
    since: Option<TimeSpan>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    max: u64,
    /// Print a JSON document on each line.
    #[arg(long)]
    json: bool,
}

impl AuditCommand {
    pub fn run(&self, data_dir: &Path) -> anyhow::Result<()> {
        if !ControlStore::exists_in(data_dir) {
            anyhow::bail!(
                "{} has no audit: a server with auth = \"tokens\" or \"jwt\" keeps one",
                data_dir.display()
            );
        }
        let user = self.user.as_ref().map(|name| {
            let user = super::UserArgs { name: name.clone(), issuer: self.issuer.clone() };
            user.id()
        });
        let filter = AuditFilter {
            actor: user.transpose()?.map(|id| Owner::User(id).audit_name()),
            session: self.session.map(|id| id.to_string()),
            since_us: self.since.map_or(0, |since| now_us().saturating_sub(since.seconds() * 1_000_000)),
            max: self.max,
        };
        let actions = block_on(async { ControlStore::open(data_dir).await?.audit(&filter).await })??;
        if self.json {
            let mut out = io::stdout().lock();
            for action in &actions {
                writeln!(out, "{}", document(action))?;
            }
            return Ok(());
        }
        let rows = actions.into_iter().map(|action| {
            [
                rfc3339(action.time_us),
                action.times.to_string(),
                action.action.clone(),
                actor(&action.actor),
                action.session.or(action.subject).unwrap_or_else(|| "-".to_owned()),
                action.client.unwrap_or_else(|| "-".to_owned()),
            ]
        });
        Ok(print_table(["TIME", "TIMES", "ACTION", "BY", "SESSION OR TOKEN", "FROM"], rows)?)
    }
}

/// The caller of an action, as logs name it.
fn actor(text: &str) -> String {
    match serde_json::from_str::<Owner>(text) {
        Ok(owner) => owner.to_string(),
        Err(_) if text.is_empty() => "-".to_owned(),
        // The holder of a share.
        Err(_) => text.to_owned(),
    }
}

fn document(action: &AuditedAction) -> serde_json::Value {
    let user = match serde_json::from_str(&action.actor) {
        Ok(Owner::User(id)) => Some(id),
        _ => None::<UserId>,
    };
    json!({
        "time": rfc3339(action.time_us),
        "times": action.times,
        "action": action.action,
        "by": actor(&action.actor),
        "user": user,
        "credential": action.credential,
        "session": action.session,
        "subject": action.subject,
        "client": action.client,
    })
}
