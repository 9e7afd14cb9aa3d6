//! `livecode users purge`.

use std::path::Path;

use clap::Args;
use livecode_protocol::user::PurgeReport;
use livecode_server::{auth::UserId, personal_data::purge_user_offline};

use super::{super::data_dir::running_server, UserArgs, block_on};
use crate::client::print_status;

/// Delete all that a server has of a user, for good.
///
/// The user's tokens are revoked, its sessions are ended and deleted, and its usage and its actions
/// in the audit are forgotten. Where a server runs that knows its users, the command goes through
/// it. Logs, backups and what others have copied are not touched.
#[derive(Args)]
pub struct PurgeCommand {
    #[command(flatten)]
    user: UserArgs,
    /// Really delete.
    #[arg(long)]
    yes: bool,
}

impl PurgeCommand {
    pub fn run(&self, data_dir: &Path) -> anyhow::Result<()> {
        let id = self.user.id()?;
        if !data_dir.is_dir() {
            anyhow::bail!("there is no data directory {}", data_dir.display());
        }
        if !self.yes {
            anyhow::bail!(
                "this deletes the sessions, tokens, usage and audit of {id} for good; add --yes to do it, and \
                 perhaps export them first: livecode users export"
            );
        }
        let report: PurgeReport = match running_server(data_dir)? {
            Some(server) => server.delete_json(&path(&id))?,
            None => block_on(purge_user_offline(data_dir, &id))??,
        };
        print_status(format_args!(
            "deleted {} sessions, {} tokens, {} days of usage and {} actions of {id}",
            report.sessions, report.tokens, report.usage_days, report.audit
        ));
        if report.has_copies {
            print_status(format_args!(
                "copies may be left in the files of the control store, because somebody was reading them; purge again"
            ));
        }
        Ok(())
    }
}

/// The path of a user at a server.
fn path(id: &UserId) -> String {
    match id {
        UserId::Name(name) => format!("/users/{}", encode(name.as_str())),
        UserId::Subject(subject) => {
            format!("/users/{}?issuer={}", encode(&subject.sub), encode(&subject.issuer))
        }
    }
}

/// Percent-encodes all bytes but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode =
        |byte| if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use livecode_server::auth::Subject;

    use super::*;

    #[test]
    fn any_user_has_a_path() {
        assert_eq!(path(&UserId::Name("a@b".parse().unwrap())), "/users/a%40b");
        let (issuer, sub) = ("https://x.example/?".to_owned(), "../a b/ä".to_owned());
        let expected = "/users/..%2Fa%20b%2F%C3%A4?issuer=https%3A%2F%2Fx.example%2F%3F";
        assert_eq!(path(&UserId::Subject(Subject { issuer, sub })), expected);
    }
}
