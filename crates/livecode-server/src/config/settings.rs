//! The list of the server's settings.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    config::{
        addresses::{ListenAddress, SocketAccess, TrustedProxy},
        cors_origins::CorsOrigins,
        jwks_source::JwksSource,
        machine::memory_bytes,
        roles::RoleSettings,
    },
    settings_macro::settings,
    spec::LimitSettings,
};

const MIB: u64 = 1024 * 1024;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

settings! {
    /// All settings of a server, each with a value.
    Config, ServerFlags {
        optional {
            /// Host name under which the server is reached besides loopback; may be given several
            /// times.
            #[arg(long = "host", value_name = "NAME")]
            #[serde(deserialize_with = "list")]
            hosts: Vec<String>,
            /// Address of a proxy whose X-Forwarded-… headers are trusted, or `unix` for whoever
            /// connects to the unix socket; may be given several times.
            #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
            #[serde(deserialize_with = "list")]
            trusted_proxies: Vec<TrustedProxy>,
            /// Address to listen on, such as 0.0.0.0:8000 or unix:/run/livecode.sock; may be given
            /// several times. By default 127.0.0.1:8000.
            #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
            #[serde(deserialize_with = "list")]
            listen: Vec<ListenAddress>,
            /// Listen beyond loopback even if this machine cannot enforce every limit (`livecode
            /// doctor` lists those that it cannot).
            #[arg(long)]
            #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
            allow_degraded: bool,
            /// Let everybody who reaches the server run programs as a guest, where `auth` is `open`
            /// and strangers may reach it: it listens beyond loopback, or `hosts` or
            /// `trusted_proxies` are set. Without this, such a server does not start.
            #[arg(long)]
            #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
            allow_anonymous: bool,
            /// Do not ask systemd for a control group for the server when an ordinary user has
            /// none.
            #[arg(long)]
            #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
            no_systemd_scope: bool,
        }
        with_default {
            /// Users of the machine who may connect to a unix socket: `owner` (the server's user
            /// and root, mode 0600), `group` (the file's group, too, mode 0660) or `all` (mode
            /// 0666).
            socket_access: SocketAccess = SocketAccess::Owner,
            /// How the server knows its users: `open` (it does not; callers are guests, or the
            /// local user) or `tokens` (every caller sends a token that `livecode token create`
            /// has made, and uses only its own sessions) or `jwt` (another site signs its users in,
            /// and every caller sends a JWT of that site).
            auth: AuthMode = AuthMode::Open,
            /// Callers that are the local user, who may use all sessions and has no limits of
            /// guests: `auto` (processes of the server's user and of root on this machine, unless
            /// a proxy or another machine may stand behind them), `all` (everybody who reaches the
            /// server), or `none`. Where `auth` is `tokens` or `jwt`, only the admin socket in
            /// `data_dir` has a local user.
            local_user: LocalUser = LocalUser::Auto,
            /// Origins whose pages may use the server, besides its own page: `*` for all, or a
            /// list such as `https://learn.example,https://lab.example`. An empty list allows none.
            cors_origins: CorsOrigins = CorsOrigins::Any,
            /// Folder in which the server keeps its sessions.
            data_dir: PathBuf = default_data_dir(),
        }
        optional {
            /// Origins whose pages may show programs in a frame (`/embed`): `*` for all, or a list such
            /// as `https://learn.example,https://lab.example`. By default those of `cors_origins`.
            #[arg(long, value_name = "ORIGINS")]
            frame_ancestors: Option<CorsOrigins>,
            /// File with the public key that signs JWTs, in PEM form (RSA for RS256, P-256 for
            /// ES256, Ed25519 for EdDSA), or with the secret of HS256.
            #[arg(long, value_name = "FILE")]
            jwt_key_file: Option<PathBuf>,
            /// File or `https:` URL of the public keys that sign JWTs (JWKS). It is read again when
            /// a JWT names a key that is not in it, and when it is old.
            #[arg(long, value_name = "FILE|URL")]
            jwt_jwks: Option<JwksSource>,
            /// The issuer of the JWTs, their claim `iss`. A user is the issuer and the claim `sub`
            /// together.
            #[arg(long, value_name = "ISSUER")]
            jwt_issuer: Option<String>,
            /// The audience of the JWTs: what their claim `aud` names this server.
            #[arg(long, value_name = "AUDIENCE")]
            jwt_audience: Option<String>,
            /// Name of the claim that names the user's role, `user`, `admin` or one of `roles`.
            /// Without it, and for other values, all are users.
            #[arg(long, value_name = "CLAIM")]
            jwt_role_claim: Option<String>,
            /// Let the claim of the role make admins, who see and end the sessions of all.
            #[arg(long)]
            #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
            jwt_allow_admin: bool,
            /// Folder of additional runtimes, which may replace or hide built-in ones.
            /// `livecode runtimes reload`, or SIGHUP, makes the server read it again.
            #[arg(long)]
            runtimes_dir: Option<PathBuf>,
        }
        with_default {
            /// How old the keys of `jwt_jwks` may be, in milliseconds; older ones are read again in
            /// the background. A key that the issuer has removed is valid that long.
            jwt_jwks_max_age_ms: u64 = 600_000,
            /// How long a ticket opens a stream, in milliseconds. Browsers, which cannot send a
            /// token with a websocket, have it in the link of the stream.
            ticket_lifetime_ms: u64 = 60 * 60 * 1000,
            /// How long a page of `/embed` may use a server that lists its `cors_origins`, in
            /// milliseconds. After that, its visitor has to load it again.
            frame_pass_lifetime_ms: u64 = 24 * 60 * 60 * 1000,
            /// How long a link opens a session that is shared, in milliseconds, unless its maker
            /// chooses another time.
            share_lifetime_ms: u64 = DAY_MS,
            /// Number of links by which one session can be shared at once.
            shares_per_session_max: u64 = 32,
            /// Number of links that one user, or the guests of one address, may make and revoke in
            /// a minute, and at once.
            share_creations_per_min: u64 = 60,
            /// Number of exercises that one author may keep on the server.
            exercises_per_owner_max: u64 = 1_000,
            /// Bytes of JSON that all exercises of one author may have together.
            exercises_per_owner_max_bytes: u64 = 256 * MIB,
            /// The largest exercise, in bytes of its JSON.
            exercise_max_bytes: u64 = 8 * MIB,
            /// The largest request body, in bytes.
            body_max_bytes: u64 = 16 * MIB,
            /// Memory for bodies and messages that the server holds for its clients, in bytes. By
            /// default a sixteenth of the machine's memory, from 128 MiB to 1 GiB.
            held_bytes_max: u64 = default_held_bytes_max(),
            /// The part of held_bytes_max that the guests of one address may use, in percent.
            held_bytes_per_address_percent: u64 = 25,
            /// The part of the processors' time that the server works for guests' connections while
            /// several payers use it, in percent. Programs and the local user have the rest.
            guest_serving_percent: u64 = 12,
            /// Number of sessions that run at once; further sessions are queued. By default one
            /// for each 20 MiB of the machine's memory, from 16 to 1,024: more than a small
            /// program takes, and less than it may take.
            sessions_running_max: u64 = default_sessions_running_max(),
            /// Number of sessions of one payer (a user, or the guests of one address) that start in
            /// a second, and twice as many at once, while others use the server; further ones wait
            /// in the queue. By default 20 for each processor.
            starts_per_payer_per_s: u64 = default_starts_per_payer_per_s(),
            /// Number of sessions that the guests of one address run at once. They may never run
            /// more than there are permits left for others.
            sessions_running_per_address_max: u64 = 512,
            /// Number of sessions that wait in the queue to run; further ones are refused with
            /// 503.
            sessions_queued_max: u64 = 10_000,
            /// Number of sessions of the guests of one address that wait in the queue to run. They
            /// may never have more places than are left for others.
            sessions_queued_per_address_max: u64 = 500,
            /// How long the start of a session is tried again while processes, memory, descriptors
            /// or disk space are missing, in milliseconds. The session is queued meanwhile; after
            /// that it ends with outcome `timeout`.
            start_timeout_ms: u64 = 600_000,
            /// Number of sessions that the server may have at once, ended ones included.
            sessions_max: u64 = 200_000,
            /// Number of sessions that one owner may have at once, ended ones included.
            sessions_per_owner_max: u64 = 100_000,
            /// Number of sessions that the guests of one address may have at once, ended ones
            /// included; beyond it their oldest ended session is removed for each new one.
            sessions_per_address_max: u64 = 100_000,
            /// Sessions that the guests of one address may create in a minute. With 0, as for each
            /// quota here, there is none. The local user has no quotas.
            guest_creations_per_min: u64 = 0,
            /// CPU time that the programs of the guests of one address may use in a day (UTC), in
            /// milliseconds. A session counts when it ends; beyond the quota none is created.
            guest_cpu_ms_per_day: u64 = 0,
            /// Output that these programs may write in a day, in bytes.
            guest_output_bytes_per_day: u64 = 0,
            /// Sessions that a user may create in a minute. Admins have no quotas.
            user_creations_per_min: u64 = 0,
            /// CPU time that a user's programs may use in a day (UTC), in milliseconds.
            user_cpu_ms_per_day: u64 = 0,
            /// Output that a user's programs may write in a day, in bytes.
            user_output_bytes_per_day: u64 = 0,
            /// Disk space for the ended sessions of the guests of one address, in bytes; beyond it
            /// their oldest are removed.
            guest_kept_bytes_max: u64 = 0,
            /// Disk space for the ended sessions of a user, in bytes; beyond it its oldest are
            /// removed.
            user_kept_bytes_max: u64 = 0,
            /// Number of sessions that a user runs at once; further ones wait. With 0 it is
            /// sessions_running_per_address_max.
            user_sessions_running_max: u64 = 0,
            /// Number of sessions of a user that wait in the queue to run. With 0 it is
            /// sessions_queued_per_address_max.
            user_sessions_queued_max: u64 = 0,
            /// How many days the control store keeps the audit of actions, where `auth` is `tokens`
            /// or `jwt`; with 0 only the log has it.
            audit_keep_days: u64 = 90,
            /// How many rows of them the control store keeps; beyond it the oldest are removed.
            audit_rows_max: u64 = 1_000_000,
            /// How long an ended session is kept, in milliseconds.
            keep_ms: u64 = DAY_MS,
            /// Disk space for all ended sessions together, in bytes; beyond it the oldest of the
            /// payer whose sessions take the most are removed.
            keep_max_bytes: u64 = 10 * 1024 * MIB,
            /// How long the output of an ended session is kept, in milliseconds; after that only
            /// its closing entry is left.
            keep_output_ms: u64 = DAY_MS,
            /// Disk space for the results of compile steps, in bytes; the least recently used are
            /// removed first. With 0 nothing is kept and each session compiles its program.
            compile_cache_bytes: u64 = 1024 * MIB,
            /// The largest result of one program's compile steps that is kept, in bytes.
            compile_cache_entry_bytes: u64 = 64 * MIB,
            /// Free space on the disk of the sessions below which ended sessions are removed, in
            /// bytes: the oldest of the payer whose sessions take the most. On a small disk it is
            /// at most a sixteenth of the disk.
            disk_keep_free_bytes: u64 = 256 * MIB,
            /// Free space that the disk of the sessions must have for a new session, in bytes.
            disk_min_free_bytes: u64 = 16 * MIB,
            /// Number of connections that the server has open at once; further connections wait to
            /// be accepted.
            connections_max: u64 = 10_000,
            /// Number of connections that one address other than the local user has open at once.
            /// It may never have more than are left for others. Further ones are refused with 503.
            connections_per_address_max: u64 = 4_000,
            /// How long a client of `/livecode` may take to send its program, in milliseconds;
            /// then its websocket is closed with code 1008.
            exec_timeout_ms: u64 = 600_000,
            /// How long a client may take to send the head of a request, in milliseconds.
            header_timeout_ms: u64 = 10_000,
            /// How long a client may take to send the body of a request, in milliseconds.
            body_timeout_ms: u64 = 30_000,
            /// How often a silent websocket is pinged, in milliseconds; it is closed after three
            /// pings without an answer.
            ping_interval_ms: u64 = 30_000,
            /// Messages per second that a client may send on one websocket, on average; a client
            /// that sends more is closed with code 1008.
            messages_per_s: u64 = 2_000,
        }
        optional {
            /// Bearer token with which callers other than the local user may read /metrics. Other
            /// users of the machine can read a command line, so the file or the environment is a
            /// better place for it.
            #[arg(long)]
            metrics_token: Option<String>,
        }
        with_default {
            /// Form of the log on standard error: `text`, or `json` with one document on each
            /// line. RUST_LOG decides what is logged.
            log_format: LogFormat = LogFormat::Text,
            /// Whether sandboxes, and interpreters in them, are made before there is a program for
            /// them: `on` or `off`.
            warm: Switch = Switch::On,
            /// Whether what a program writes to standard output, to standard error and as messages
            /// is shown in the exact order, and clients are told when it waits for input: `on` or
            /// `off`. It costs some microseconds for each write to standard error and each read
            /// of standard input, and a signal may interrupt such a call (EINTR).
            exact_order: Switch = Switch::On,
            /// How many warm sandboxes of each kind may wait for a program. A sandbox takes about
            /// 1 MiB, with an interpreter in it about 6 MiB.
            warm_sandboxes_max: u64 = 8,
            /// How many warm sandboxes that show programs other folders than the usual ones, such
            /// as a toolchain, may wait together.
            warm_other_sandboxes_max: u64 = 16,
            /// How long such a sandbox waits after the last program that wanted one of its kind,
            /// in milliseconds.
            warm_layout_idle_ms: u64 = 600_000,
            /// How long no program must have run before the server checks whether the hello of a
            /// runtime runs, in milliseconds. Each runtime is checked once for each state of its
            /// toolchain. With 0, only `livecode runtimes --check` checks them.
            runtime_check_idle_ms: u64 = 30_000,
        }
        /// Limits of programs.
        nested limits: LimitSettings,
        table roles: BTreeMap<String, RoleSettings>,
    }
}

/// The default of `listen`.
pub(super) fn default_listen() -> Vec<ListenAddress> {
    vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 8000)))]
}

/// The default of `starts_per_payer_per_s`.
fn default_starts_per_payer_per_s() -> u64 {
    15 * std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// The default of `sessions_running_max`.
fn default_sessions_running_max() -> u64 {
    (memory_bytes() / (20 * MIB)).clamp(16, 1024)
}

/// The default of `held_bytes_max`.
fn default_held_bytes_max() -> u64 {
    (memory_bytes() / 16).clamp(128 * MIB, 1024 * MIB)
}

/// How the server knows its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// It does not: callers are guests, or the local user.
    Open,
    /// By tokens, which the control store has.
    Tokens,
    /// By JWTs, which another site makes.
    Jwt,
}

impl AuthMode {
    /// Whether the server knows its users, so that nobody else gets in.
    pub fn knows_users(self) -> bool {
        self != Self::Open
    }
}

/// The callers that are the local user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LocalUser {
    /// Processes of the server's user and of root, where the server listens on loopback and has
    /// neither `hosts` nor `trusted_proxies`, if their requests bear no sign of a proxy.
    Auto,
    /// All callers except pages of other origins.
    All,
    /// No caller.
    None,
}

/// A setting that is `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON document on each line.
    Json,
}

/// The default of `data_dir`: the state directory that systemd gives a service (`StateDirectory=`),
/// `livecode` in the user's state directory, as the XDG Base Directory Specification defines it, or
/// `/var/lib/livecode` for a system service without a home.
fn default_data_dir() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // A service may have several state directories; none of them is then known to be LiveCode's.
    let of_service =
        variable("STATE_DIRECTORY").filter(|path| !path.as_os_str().as_encoded_bytes().contains(&b':'));
    if let Some(path) = of_service.filter(|path| path.is_absolute()) {
        return path;
    }
    variable("XDG_STATE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".local/state")))
        .map_or_else(|| PathBuf::from("/var/lib/livecode"), |state_home| state_home.join("livecode"))
}

/// Deserializes a list, or a text of items separated by commas, because an environment variable
/// cannot hold a list.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrText {
        List(Vec<String>),
        Text(String),
    }
    let items = match ListOrText::deserialize(deserializer)? {
        ListOrText::List(items) => items,
        ListOrText::Text(text) => {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        }
    };
    let parse =
        |item: &String| item.parse().map_err(|error| serde::de::Error::custom(format!("{item:?}: {error}")));
    items.iter().map(parse).collect()
}
