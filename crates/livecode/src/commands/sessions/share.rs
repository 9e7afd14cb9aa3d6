//! `livecode share`.

use std::io::{self, Write as _};

use clap::Args;
use livecode_protocol::{
    SessionId,
    share::{CreateShare, ShareDocument, ShareRights},
};

use crate::{
    client::{ServerClient, SessionRef, print_status},
    commands::{tables::print_table, time_span::TimeSpan},
    failure::CommandFailure,
};

/// Makes a link by which others watch a session, and prints it alone on the last line.
///
/// Everybody who has the link sees the session from its beginning, in a browser or by `livecode
/// attach LINK`, and needs no token. The link is shown only once.
#[derive(Args)]
pub struct ShareCommand {
    #[command(flatten)]
    server: ServerClient,
    /// Let those who have the link send input and events to the program, too.
    #[arg(long)]
    join: bool,
    /// Time after which the link opens nothing any more, such as 2h or 7d; by default a time that
    /// the server chooses.
    #[arg(long, value_name = "TIME")]
    expires: Option<TimeSpan>,
    /// List the links of the session that can be used, without their secrets.
    #[arg(long, conflicts_with_all = ["join", "expires", "revoke"])]
    list: bool,
    /// Print the list as JSON.
    #[arg(long, requires = "list")]
    json: bool,
    /// Revoke the link with this id, as --list shows it, and disconnect all who use it.
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["join", "expires"])]
    revoke: Option<String>,
    /// Id of the session, or its first digits if no other id begins with them.
    id: SessionRef,
}

impl ShareCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        let id = self.server.find_id(&self.id)?;
        let path = format!("/sessions/{id}/shares");
        if self.list {
            return Ok(print_list(&self.server.get_json::<Vec<ShareDocument>>(&path)?, self.json)?);
        }
        if let Some(share) = &self.revoke {
            // A text that cannot be the id of a share is not put into a path.
            let is_id = !share.is_empty() && share.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let share = if is_id { share } else { "-" };
            self.server.delete(&format!("{path}/{share}"))?;
            print_status(format_args!("revoked link {share} of session {id}"));
            return Ok(());
        }
        let rights = if self.join { ShareRights::Join } else { ShareRights::Watch };
        let request = CreateShare { rights, expires_in_s: self.expires.map(TimeSpan::seconds) };
        Ok(self.print_new(id, &self.server.post_json(&path, &request)?)?)
    }

    /// Prints a new link. What goes with it is on standard error, so that `$(livecode share …)` is
    /// the link alone.
    fn print_new(&self, id: SessionId, share: &ShareDocument) -> io::Result<()> {
        let ShareDocument { id: share_id, rights, expires, link, .. } = share;
        print_status(format_args!(
            "link {share_id} to {} session {id}, until {expires}; it is shown only now:",
            rights.as_str()
        ));
        let link = link.as_deref().unwrap_or_default();
        // The server does not know the path below which a proxy serves it.
        let link = match (self.server.url().socket(), link.split_once('#')) {
            (None, Some((_, fragment))) => self.server.url().http(&format!("/#{fragment}")),
            _ => link.to_owned(),
        };
        if self.server.url().socket().is_some() {
            print_status(format_args!("others need the server's own address in place of http://localhost"));
        }
        writeln!(io::stdout(), "{link}")
    }
}

fn print_list(shares: &[ShareDocument], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(shares)?)?;
        return Ok(());
    }
    let rows = shares.iter().map(|share| {
        let rights = share.rights.as_str().to_owned();
        [share.id.clone(), rights, share.created.clone(), share.expires.clone()]
    });
    Ok(print_table(["ID", "RIGHTS", "CREATED", "EXPIRES"], rows)?)
}
