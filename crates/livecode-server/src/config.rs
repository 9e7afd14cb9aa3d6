//! Settings: one list, from the defaults, a TOML file, the environment and the command line; the later wins.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

use crate::spec::LimitSettings;

/// What starts the name of each setting in the environment.
const PREFIX: &str = "LIVECODE_";
/// Variables with the prefix that are no settings: the client's server, a program's message channel, and what a server says to
/// itself when it starts itself again.
const NOT_SETTINGS: [&str; 3] = ["LIVECODE_SERVER", "LIVECODE_FD", "LIVECODE_IN_SCOPE"];

/// A shorter token could be guessed.
const TOKEN_MIN_BYTES: usize = 16;

/// Declares settings once: a struct with all of them, and one of optional command-line flags.
macro_rules! settings {
    ($(#[$meta:meta])* $name:ident, $flags:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        /// The same, as optional flags of a command.
        #[derive(Clone, Debug, Default, Args, Serialize)]
        pub struct $flags {
            $(
                $(#[doc = $doc])*
                #[arg(long)]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }
    };
}
pub(crate) use settings;

settings! {
    /// Settings of the server itself.
    ServerSettings, ServerFlags {
        /// Address to listen on.
        listen: SocketAddr,
        /// Folder of the sessions.
        data_dir: PathBuf,
        /// Folder of further runtimes.
        runtimes_dir: PathBuf,
        /// The largest request body, in bytes.
        body_max_bytes: u64,
        /// Sessions that run at once; further ones wait their turn.
        sessions_running_max: u64,
        /// Sessions that the server may have at once, ended ones included.
        sessions_max: u64,
        /// Sessions that one owner may have at once, ended ones included.
        sessions_per_owner_max: u64,
        /// How long an ended session is kept, in milliseconds.
        keep_ms: u64,
        /// How much all ended sessions may take on the disk, in bytes; the oldest go first.
        keep_max_bytes: u64,
        /// How long the output of an ended session is kept, in milliseconds; after that only how it ended is told.
        keep_output_ms: u64,
        /// How much what was compiled may take on the disk, in bytes; the least recently used goes first. 0 compiles each time.
        compile_cache_bytes: u64,
        /// The most that is kept of what was compiled for one program, in bytes.
        compile_cache_entry_bytes: u64,
        /// Room that the disk of the sessions must have for a new one, in bytes.
        disk_min_free_bytes: u64,
        /// Connections that the server has open at once; further ones wait to be accepted.
        connections_max: u64,
        /// How long a client may take to send the head of a request, in milliseconds.
        header_timeout_ms: u64,
        /// How long a client may take to send the body of a request, in milliseconds.
        body_timeout_ms: u64,
        /// How often a silent websocket is pinged, in milliseconds; after three in vain it is taken for gone.
        ping_interval_ms: u64,
        /// Messages a second that a client may send on one websocket, on average; a client that sends more is closed with 1008.
        messages_per_s: u64,
        /// Who sends this as a bearer token may read /metrics too, besides the local user. On a command line others can read
        /// it: better in the file or the environment.
        metrics_token: String,
        /// Whether sandboxes, and interpreters in them, are made before there is a program for them: `on` or `off`.
        warm: Switch,
        /// How many sandboxes may wait for a program, of each kind; one takes about a MiB, with an interpreter in it about six.
        warm_sandboxes_max: u64,
    }
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

/// Command-line flags of `livecode serve`.
#[derive(Clone, Debug, Default, Args, Serialize)]
pub struct Flags {
    /// TOML file of settings, named as the flags are, with '_' for '-'.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Host name under which the server is reached besides loopback; may be given several times.
    #[arg(long = "host", value_name = "NAME")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Address of a proxy whose X-Forwarded-Proto and X-Forwarded-Host are believed; may be given several times.
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpAddr>,
    /// Listen beyond loopback too where this machine cannot enforce every limit (`livecode doctor` says which).
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_degraded: bool,
    /// Do not ask systemd for a control group of the server's own, where an ordinary user has none yet.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_systemd_scope: bool,
    #[command(flatten)]
    #[serde(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    #[serde(flatten)]
    limits: crate::spec::LimitFlags,
}

/// All settings, each with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of the sessions.
    pub data_dir: PathBuf,
    /// Folder of further runtimes.
    pub runtimes_dir: Option<PathBuf>,
    /// Host names besides loopback.
    #[serde(deserialize_with = "list")]
    pub hosts: Vec<String>,
    /// Proxies that are believed.
    #[serde(deserialize_with = "list")]
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether to listen beyond loopback too where not every limit can be enforced.
    #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
    pub allow_degraded: bool,
    /// Whether to do without a control group that systemd would give.
    #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
    pub no_systemd_scope: bool,
    /// The largest request body, in bytes.
    pub body_max_bytes: u64,
    /// Sessions that run at once.
    pub sessions_running_max: u64,
    /// Sessions in all, ended ones included.
    pub sessions_max: u64,
    /// Sessions of one owner, ended ones included.
    pub sessions_per_owner_max: u64,
    /// How long an ended session is kept, in milliseconds.
    pub keep_ms: u64,
    /// How much all ended sessions may take on the disk, in bytes.
    pub keep_max_bytes: u64,
    /// How long the output of an ended session is kept, in milliseconds.
    pub keep_output_ms: u64,
    /// How much what was compiled may take on the disk, in bytes.
    pub compile_cache_bytes: u64,
    /// The most that is kept of what was compiled for one program, in bytes.
    pub compile_cache_entry_bytes: u64,
    /// Room that the disk must have for a new session, in bytes.
    pub disk_min_free_bytes: u64,
    /// Connections open at once.
    pub connections_max: u64,
    /// How long the head of a request may take, in milliseconds.
    pub header_timeout_ms: u64,
    /// How long the body of a request may take, in milliseconds.
    pub body_timeout_ms: u64,
    /// How often a silent websocket is pinged, in milliseconds.
    pub ping_interval_ms: u64,
    /// Messages a second from one websocket, on average.
    pub messages_per_s: u64,
    /// What lets others than the local user read `/metrics`.
    pub metrics_token: Option<String>,
    /// Whether sandboxes are made before there is a program for them.
    pub warm: Switch,
    /// How many of each kind may wait.
    pub warm_sandboxes_max: u64,
    /// Limits of programs.
    #[serde(skip)]
    pub limits: LimitSettings,
}

/// A setting that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is of the wrong type, or a file cannot be read; the text names the key and where it is set.
    #[error("a setting is wrong")]
    Value(#[source] Box<figment::Error>),
    /// The file does not exist.
    #[error("there is no configuration file {0}")]
    NoFile(PathBuf),
    /// A key that no setting has.
    #[error("{path}: there is no setting \"{key}\"")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value that makes no sense.
    #[error("a setting is wrong: {key}: {detail}")]
    Senseless {
        /// The key.
        key: &'static str,
        /// What would be right.
        detail: String,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            data_dir: default_data_dir(),
            runtimes_dir: None,
            hosts: vec![],
            trusted_proxies: vec![],
            allow_degraded: false,
            no_systemd_scope: false,
            body_max_bytes: 16 * 1024 * 1024,
            sessions_running_max: 1024,
            sessions_max: 200_000,
            sessions_per_owner_max: 100_000,
            keep_ms: 24 * 60 * 60 * 1000,
            keep_max_bytes: 10 * 1024 * 1024 * 1024,
            keep_output_ms: 24 * 60 * 60 * 1000,
            compile_cache_bytes: 1024 * 1024 * 1024,
            compile_cache_entry_bytes: 64 * 1024 * 1024,
            disk_min_free_bytes: 16 * 1024 * 1024,
            connections_max: 10_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            ping_interval_ms: 30_000,
            messages_per_s: 2_000,
            metrics_token: None,
            warm: Switch::On,
            warm_sandboxes_max: 8,
            limits: LimitSettings::default(),
        }
    }
}

/// A list, or in the environment, which knows no lists, a text with commas.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        List(Vec<String>),
        Text(String),
    }
    let words = match Given::deserialize(deserializer)? {
        Given::List(words) => words,
        Given::Text(text) => {
            text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        }
    };
    let parse =
        |word: &String| word.parse().map_err(|error| serde::de::Error::custom(format!("{word:?}: {error}")));
    words.iter().map(parse).collect()
}

/// The user's state directory (XDG Base Directory Specification); for a system service without a home, /var/lib.
fn default_data_dir() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("XDG_STATE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".local/state")))
        .map_or_else(|| PathBuf::from("/var/lib/livecode"), |state| state.join("livecode"))
}

impl Config {
    /// Puts the settings together. Variables that start with `LIVECODE_` and are no setting are returned, to be warned of.
    ///
    /// # Errors
    /// The setting that is wrong, by its name and where it is set.
    pub fn load(flags: &Flags) -> Result<(Self, Vec<String>), ConfigError> {
        let keys = Self::keys();
        let mut figment = Figment::from(Serialized::defaults(Self::default()))
            .merge(Serialized::defaults(LimitSettings::default()));
        if let Some(path) = &flags.config {
            check_file(path, &keys)?;
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment
            .merge(Env::prefixed(PREFIX).ignore(&["server", "fd", "in_scope"]))
            .merge(Serialized::defaults(flags));
        // One by one, not flattened into one: serde forgets the names of flattened fields, and an error must tell them.
        let wrong = |error| ConfigError::Value(Box::new(error));
        let limits = figment.extract().map_err(wrong)?;
        let config = Self { limits, ..figment.extract().map_err(wrong)? };
        config.check()?;
        let is_unknown = |name: &String| {
            name.strip_prefix(PREFIX).is_some_and(|key| !keys.contains(&key.to_lowercase()))
                && !NOT_SETTINGS.contains(&name.as_str())
        };
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Ok((config, names.filter(is_unknown).collect()))
    }

    /// Names of all settings.
    fn keys() -> Vec<String> {
        let names = |value| match value {
            Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
            _ => vec![],
        };
        let mut keys: Vec<String> = names(serde_json::to_value(Self::default()));
        keys.extend(names(serde_json::to_value(LimitSettings::default())));
        keys
    }

    fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let pairs = [
            ("wall_ms", limits.wall_ms, limits.wall_max_ms),
            ("v01_wall_ms", limits.v01_wall_ms, limits.wall_max_ms),
            ("idle_ms", limits.idle_ms, u64::MAX),
            ("cpu_ms", limits.cpu_ms, limits.cpu_max_ms),
            ("memory_bytes", limits.memory_bytes, limits.memory_max_bytes),
            ("processes", limits.processes, limits.processes_max),
            ("output_bytes", limits.output_bytes, limits.output_max_bytes),
            ("disk_bytes", limits.disk_bytes, limits.disk_max_bytes),
            ("disk_files", limits.disk_files, 1 << 24),
            ("cpu_millicores", limits.cpu_millicores, limits.cpu_max_millicores),
            ("cpu_max_millicores", limits.cpu_max_millicores, 1 << 20),
            ("processes_max", limits.processes_max, 1 << 22),
            ("body_max_bytes", self.body_max_bytes, 1 << 32),
            ("sessions_running_max", self.sessions_running_max, 50_000),
            ("connections_max", self.connections_max, 1 << 20),
            ("header_timeout_ms", self.header_timeout_ms, 3_600_000),
            ("body_timeout_ms", self.body_timeout_ms, 3_600_000),
            ("ping_interval_ms", self.ping_interval_ms, 3_600_000),
            ("messages_per_s", self.messages_per_s, 1_000_000),
            ("warm_sandboxes_max", self.warm_sandboxes_max, 1024),
            ("sessions_max", self.sessions_max, u64::MAX),
            ("sessions_per_owner_max", self.sessions_per_owner_max, u64::MAX),
        ];
        for (key, value, max) in pairs {
            if value == 0 || value > max {
                return Err(ConfigError::Senseless {
                    key,
                    detail: format!("{value} is not between 1 and {max}"),
                });
            }
        }
        let is_token = |token: &String| {
            token.len() >= TOKEN_MIN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.metrics_token.as_ref().is_some_and(|token| !is_token(token)) {
            return Err(ConfigError::Senseless {
                key: "metrics_token",
                detail: format!("a token has at least {TOKEN_MIN_BYTES} visible ASCII characters"),
            });
        }
        Ok(())
    }
}

fn check_file(path: &Path, keys: &[String]) -> Result<(), ConfigError> {
    if !path.is_file() {
        return Err(ConfigError::NoFile(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // What is no TOML at all is told, with its line, when the file is merged.
    let table: toml::Table = text.parse().unwrap_or_default();
    match table.keys().find(|key| !keys.contains(key)) {
        Some(key) => Err(ConfigError::UnknownKey { path: path.to_owned(), key: key.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_sources_win() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("livecode.toml");
        std::fs::write(
            &path,
            "wall_ms = 1000\ncpu_ms = 2000\nhosts = ['a.example']\ntrusted_proxies = '127.0.0.1, ::1'\n",
        )
        .unwrap();
        let limits = crate::spec::LimitFlags { cpu_ms: Some(3000), ..Default::default() };
        let flags = Flags { config: Some(path), limits, ..Flags::default() };
        let (config, _) = Config::load(&flags).unwrap();
        assert_eq!((config.limits.wall_ms, config.limits.cpu_ms), (1000, 3000));
        assert_eq!(config.hosts, ["a.example"]);
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(config.limits.processes, 64);
    }

    #[test]
    fn what_is_wrong_names_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("livecode.toml");
        for (text, word) in [
            ("wall_sm = 1\n", "wall_sm"),
            ("wall_ms = 'soon'\n", "wall_ms"),
            ("wall_ms = 0\n", "wall_ms"),
            ("memory_bytes = 9999999999999\n", "memory_bytes"),
            ("listen = 'nowhere'\n", "listen"),
            ("trusted_proxies = ['near']\n", "near"),
            ("allow_degraded = 'perhaps'\n", "allow_degraded"),
            ("wall_ms = \n", "TOML"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Config::load(&Flags { config: Some(path.clone()), ..Flags::default() }).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let text = format!("{error}: {source}");
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
