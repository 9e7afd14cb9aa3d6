//! `livecode token`: makes, lists, revokes and replaces the tokens of a server's users.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use livecode_protocol::{
    now_us,
    quota::OwnLimits,
    token::{CreateToken, Role, RotateToken, TokenDocument},
};
use livecode_server::{
    audit::{Action, add_local_action},
    auth::TokenUsers,
    token_document,
};
use livecode_store::{ControlStore, NewToken, UserName};

use super::{
    data_dir::{DataDirArgs, running_server, warn_of_server},
    tables::print_table,
    time_span::TimeSpan,
};
use crate::{
    client::{ServerClient, print_status},
    failure::CommandFailure,
};

/// Makes, lists, revokes and replaces the tokens by which a server knows its users.
///
/// A server asks for tokens if it runs with `auth = "tokens"`. Where such a server runs on the data
/// directory, the command goes through it, and a revocation holds at once; otherwise the command
/// changes the data directory itself. An admin of a server elsewhere gives its --server, and an own
/// token as LIVECODE_TOKEN or by --token-file.
#[derive(Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    action: TokenAction,
    #[command(flatten)]
    data_dir: DataDirArgs,
    /// URL of a server that is reached by an admin's token, in place of a data directory.
    #[arg(long = "server", global = true, value_name = "URL", conflicts_with_all = ["data_dir", "config"])]
    server: Option<String>,
    /// File with the admin's token, for --server.
    #[arg(long, global = true, env = "LIVECODE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File of further certificates in PEM form that are trusted, for --server.
    #[arg(long, global = true, value_name = "FILE", requires = "server")]
    ca_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum TokenAction {
    /// Make a token for a user, and print it alone on the last line. It is shown only once.
    Create {
        /// Name of the user: letters, digits, and the signs . _ - @
        name: UserName,
        /// Role that the token gives: `user` (create sessions, and use them), `admin` (watch and end
        /// the sessions of all users besides, and make and revoke tokens), or one that the server's
        /// configuration names.
        #[arg(long, default_value_t)]
        role: Role,
        /// Limit of the token, such as cpu_ms_per_day=60000, which can only lower that of the role:
        /// sessions_running_max, creations_per_min, cpu_ms_per_day or output_bytes_per_day. May be
        /// given several times.
        #[arg(long = "limit", value_name = "NAME=NUMBER")]
        limits: Vec<Limit>,
        /// Time after which the token expires, such as 90d, 12h or 30m; without it, it does not.
        #[arg(long, value_name = "TIME")]
        expires: Option<TimeSpan>,
    },
    /// List the tokens that were not revoked, the newest first.
    List {
        /// Print the tokens' documents as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke tokens. Connections that use them are closed.
    Revoke {
        /// Ids of tokens, or names of users, whose tokens are then all revoked.
        #[arg(required = true, value_name = "TOKEN")]
        tokens: Vec<String>,
    },
    /// Replace a token by a new one for the same user, and print it alone on the last line.
    Rotate {
        /// Id of the token, or name of a user who has one token.
        token: String,
        /// Time after which the new token expires. Without it, it expires when the old one would; if
        /// that has expired, it is valid for as long as the old one was.
        #[arg(long, value_name = "TIME")]
        expires: Option<TimeSpan>,
    },
}

/// A limit of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit(OwnLimits);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let number = parts.and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?)));
        match number {
            Some((_, 0)) => Err("a limit is at least 1; without a limit, leave it out".to_owned()),
            Some((name, number)) => serde_json::from_value(serde_json::json!({ name: number }))
                .map(Self)
                .map_err(|error| error.to_string().replace("field", "limit")),
            None => Err("a limit is a name and a whole number, as in cpu_ms_per_day=60000".to_owned()),
        }
    }
}

/// All limits together. Of two with the same name the lower one holds.
fn together(limits: &[Limit]) -> OwnLimits {
    let lower =
        |field: fn(&OwnLimits) -> Option<u64>| limits.iter().filter_map(|Limit(limits)| field(limits)).min();
    OwnLimits {
        sessions_running_max: lower(|limits| limits.sessions_running_max),
        creations_per_min: lower(|limits| limits.creations_per_min),
        cpu_ms_per_day: lower(|limits| limits.cpu_ms_per_day),
        output_bytes_per_day: lower(|limits| limits.output_bytes_per_day),
    }
}

/// Where the tokens are changed.
enum Tokens {
    /// By a server.
    Server(ServerClient),
    /// In the data directory, on which no server that asks for tokens runs.
    DataDir { users: Box<TokenUsers>, store: ControlStore, runtime: Box<tokio::runtime::Runtime> },
}

impl TokenCommand {
    pub fn run(self) -> Result<(), CommandFailure> {
        let tokens = self.tokens()?;
        match self.action {
            TokenAction::Create { name, role, limits, expires } => {
                if let Tokens::DataDir { .. } = &tokens {
                    self.data_dir.check_role(&role)?;
                }
                let request = CreateToken {
                    user: name.into(),
                    role,
                    limits: together(&limits),
                    expires_in_s: expires.map(TimeSpan::seconds),
                };
                print_new(&tokens.create(&request)?)?;
            }
            TokenAction::List { json } => print_list(&tokens.list()?, json)?,
            TokenAction::Revoke { tokens: names } => {
                let all = tokens.list()?;
                for name in names {
                    for token in named(&all, &name)? {
                        tokens.revoke(&token.id)?;
                        print_status(format_args!("revoked token {} of {}", token.id, token.user));
                    }
                }
            }
            TokenAction::Rotate { token, expires } => {
                let all = tokens.list()?;
                let [old] = *named(&all, &token)? else {
                    bail_several(&token)?;
                    return Ok(());
                };
                let request = RotateToken { expires_in_s: expires.map(TimeSpan::seconds) };
                print_new(&tokens.rotate(&old.id, &request)?)?;
            }
        }
        Ok(())
    }

    fn tokens(&self) -> anyhow::Result<Tokens> {
        if let Some(url) = &self.server {
            let url = url.parse().with_context(|| format!("--server {url}"))?;
            let server = ServerClient::new(url, self.ca_file.clone(), self.token_file.clone());
            return Ok(Tokens::Server(server));
        }
        let data_dir = self.data_dir.find()?;
        if let Some(server) = running_server(&data_dir)? {
            return Ok(Tokens::Server(server));
        }
        let is_creation = matches!(self.action, TokenAction::Create { .. });
        if !is_creation && !ControlStore::exists_in(&data_dir) {
            bail!("{} has no tokens; `livecode token create` makes one", data_dir.display());
        }
        if matches!(self.action, TokenAction::Revoke { .. } | TokenAction::Rotate { .. }) {
            warn_of_server(&data_dir);
        }
        Tokens::of_data_dir(&data_dir)
    }
}

impl Tokens {
    fn of_data_dir(data_dir: &Path) -> anyhow::Result<Self> {
        let cannot_use = || format!("cannot use the data directory {}", data_dir.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).with_context(cannot_use)?;
        let owner = fs::metadata(data_dir).with_context(cannot_use)?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            // The server could not read files that another user has made for it.
            bail!(
                "{} belongs to the user with uid {owner}; run this command as that user",
                data_dir.display()
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let store = runtime.block_on(ControlStore::open(data_dir))?;
        let users = TokenUsers::new(store.clone());
        Ok(Self::DataDir { users: Box::new(users), store, runtime: Box::new(runtime) })
    }

    fn create(&self, request: &CreateToken) -> anyhow::Result<TokenDocument> {
        match self {
            Self::Server(server) => server.post_json("/tokens", request),
            Self::DataDir { users, store, runtime } => {
                let expires_us = request.expires_in_s.map(expiry_us);
                let CreateToken { user, role, limits, .. } = request.clone();
                let new = NewToken { user: user.parse()?, role, limits, expires_us };
                let (token, secret) = runtime.block_on(users.create_token(&new))?;
                runtime.block_on(add_local_action(store, Action::TokenCreated, Some(&token.id)))?;
                Ok(token_document(token, Some(&secret)))
            }
        }
    }

    fn list(&self) -> anyhow::Result<Vec<TokenDocument>> {
        match self {
            Self::Server(server) => server.get_pages("/tokens"),
            Self::DataDir { users, runtime, .. } => {
                let tokens = runtime.block_on(users.tokens(None, usize::MAX))?;
                Ok(tokens.into_iter().map(|token| token_document(token, None)).collect())
            }
        }
    }

    fn revoke(&self, id: &str) -> anyhow::Result<()> {
        match self {
            Self::Server(server) => server.delete(&format!("/tokens/{id}")),
            Self::DataDir { users, store, runtime } => {
                runtime.block_on(users.revoke_token(id))?;
                Ok(runtime.block_on(add_local_action(store, Action::TokenRevoked, Some(id)))?)
            }
        }
    }

    fn rotate(&self, id: &str, request: &RotateToken) -> anyhow::Result<TokenDocument> {
        match self {
            Self::Server(server) => server.post_json(&format!("/tokens/{id}/rotate"), request),
            Self::DataDir { users, store, runtime } => {
                let expires_us = request.expires_in_s.map(expiry_us);
                let (token, secret) = runtime.block_on(users.rotate_token(id, expires_us))?;
                runtime.block_on(add_local_action(store, Action::TokenRotated, Some(id)))?;
                runtime.block_on(add_local_action(store, Action::TokenCreated, Some(&token.id)))?;
                Ok(token_document(token, Some(&secret)))
            }
        }
    }
}

/// When a token expires that is made now.
fn expiry_us(expires_in_s: u64) -> u64 {
    now_us().saturating_add(expires_in_s.saturating_mul(1_000_000))
}

/// The tokens that a name on the command line means.
///
/// # Errors
/// If there are none.
fn named<'t>(all: &'t [TokenDocument], name: &str) -> anyhow::Result<Vec<&'t TokenDocument>> {
    let by_id: Vec<_> = all.iter().filter(|token| token.id == name).collect();
    let found =
        if by_id.is_empty() { all.iter().filter(|token| token.user == name).collect() } else { by_id };
    if found.is_empty() {
        bail!("there is no token {name}, and no user of this name has one; `livecode token list` lists all");
    }
    Ok(found)
}

fn bail_several(name: &str) -> anyhow::Result<()> {
    bail!("{name} has several tokens; give the id of one, as `livecode token list` shows it")
}

/// Prints a new token. What goes with it is on standard error, so that `$(livecode token create …)`
/// is the token alone.
fn print_new(document: &TokenDocument) -> io::Result<()> {
    let expires = document.expires.as_ref().map(|time| format!(", until {time}")).unwrap_or_default();
    print_status(format_args!(
        "token {} of {} ({}{expires}); it is shown only now:",
        document.id,
        document.user,
        document.role.as_str()
    ));
    writeln!(io::stdout(), "{}", document.token.as_deref().unwrap_or_default())
}

fn print_list(tokens: &[TokenDocument], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(tokens)?)?;
        return Ok(());
    }
    let rows = tokens.iter().map(|token| {
        let expires = match (&token.expires, token.expired) {
            (Some(time), true) => format!("expired {time}"),
            (Some(time), false) => time.clone(),
            (None, _) => "never".to_owned(),
        };
        let limits: Vec<_> = token.limits.iter().map(|(name, limit)| format!("{name}={limit}")).collect();
        let limits = if limits.is_empty() { "-".to_owned() } else { limits.join(",") };
        let (id, user, role) = (token.id.clone(), token.user.clone(), token.role.to_string());
        [id, user, role, limits, token.created.clone(), expires]
    });
    Ok(print_table(["ID", "USER", "ROLE", "LIMITS", "CREATED", "EXPIRES"], rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_name_and_a_number() {
        let limits =
            ["cpu_ms_per_day=5", "creations_per_min=2", "cpu_ms_per_day=9"].map(|text| text.parse().unwrap());
        let expected =
            OwnLimits { cpu_ms_per_day: Some(5), creations_per_min: Some(2), ..Default::default() };
        assert_eq!(together(&limits), expected);
        let error = "cpu_ms=5".parse::<Limit>().unwrap_err();
        assert!(error.contains("unknown limit `cpu_ms`") && error.contains("`cpu_ms_per_day`"), "{error}");
        for text in ["", "cpu_ms_per_day", "cpu_ms_per_day=", "cpu_ms_per_day=0", "cpu_ms_per_day=-1", "=1"] {
            assert!(text.parse::<Limit>().is_err(), "{text:?}");
        }
    }
}
