//! Reads the settings from all their sources, and checks them.

use std::path::{Path, PathBuf};

use clap::Args;
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use livecode_protocol::{cases::MAX_CASES, results::MAX_RESULT_FILES};
use serde::Serialize;

use crate::{
    config::{
        roles::check_roles,
        settings::{Config, LocalUser, ServerFlags, default_listen},
    },
    spec::{LimitFlags, LimitSettings, floor},
};

/// Prefix of each setting's name in the environment.
const ENV_PREFIX: &str = "LIVECODE_";
/// Variables with the prefix that are not settings, named without the prefix: the client's server,
/// the certificates that it trusts and its token, the descriptor of a program's message channel,
/// and the mark of a server that has started itself again in a systemd scope.
const NOT_SETTINGS: [&str; 6] = ["SERVER", "CA_FILE", "TOKEN", "TOKEN_FILE", "FD", "IN_SCOPE"];

/// The shortest `metrics_token`. A shorter token could be guessed.
const MIN_TOKEN_BYTES: usize = 16;

/// Command-line flags of `livecode serve`.
#[derive(Clone, Debug, Default, Args, Serialize)]
pub struct Flags {
    /// TOML file with settings, named as the flags are, with '_' in place of '-'.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    #[serde(flatten)]
    limits: LimitFlags,
}

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value has the wrong type, or a file cannot be read. The source names the key and the
    /// place where it is set.
    #[error("a setting is wrong")]
    Value(#[source] Box<figment::Error>),
    /// The configuration file does not exist.
    #[error("there is no configuration file {0}")]
    NoFile(PathBuf),
    /// The configuration file has a key that is not the name of a setting.
    #[error("{path}: there is no setting \"{key}\"")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value has the right type, but is not one of the allowed values.
    #[error("a setting is wrong: {key}{place}: {detail}")]
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The place where the value is set, after a space.
        place: String,
        /// The value, and which values are allowed.
        detail: String,
    },
}

impl Config {
    /// Merges the settings of all sources. The second part of the result lists environment
    /// variables that start with `LIVECODE_` and are not settings, so that the caller can warn of
    /// them.
    ///
    /// # Errors
    /// See [`ConfigError`]. The error names the wrong setting and the place where it is set.
    pub fn load(flags: &Flags) -> Result<(Self, Vec<String>), ConfigError> {
        let keys = Self::keys();
        let mut figment = Figment::from(Serialized::defaults(Self::default()))
            .merge(Serialized::defaults(LimitSettings::default()));
        if let Some(path) = &flags.config {
            check_keys(path, &keys)?;
            figment = figment.merge(Toml::file_exact(path));
        }
        figment =
            figment.merge(Env::prefixed(ENV_PREFIX).ignore(&NOT_SETTINGS)).merge(Serialized::defaults(flags));
        // The two structs are extracted separately and not by `#[serde(flatten)]`: serde loses the
        // names of flattened fields, and an error has to tell them.
        let wrong_value = |error| ConfigError::Value(Box::new(error));
        let limits = figment.extract().map_err(wrong_value)?;
        let mut config = Self { limits, ..figment.extract().map_err(wrong_value)? };
        if config.listen.is_empty() {
            config.listen = default_listen();
        }
        config.check().map_err(|(key, detail)| ConfigError::InvalidValue {
            key,
            place: place_of(&figment, key),
            detail,
        })?;
        let is_unknown = |name: &String| {
            name.strip_prefix(ENV_PREFIX)
                .is_some_and(|key| !keys.contains(&key.to_lowercase()) && !NOT_SETTINGS.contains(&key))
        };
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Ok((config, names.filter(is_unknown).collect()))
    }

    /// The names of all settings.
    fn keys() -> Vec<String> {
        let field_names = |value| match value {
            Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
            _ => vec![],
        };
        let mut keys: Vec<String> = field_names(serde_json::to_value(Self::default()));
        keys.extend(field_names(serde_json::to_value(LimitSettings::default())));
        keys
    }

    /// Checks the values that have a range, and the token. Every value of the others is valid. An
    /// error is the key, and what is wrong with its value.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let limits = &self.limits;
        // A server with a smaller limit could run no program at all. Key, value and minimum.
        let floors = [
            ("wall_max_ms", limits.wall_max_ms, floor::WALL_MS),
            ("wall_ms", limits.wall_ms, floor::WALL_MS),
            ("v01_wall_ms", limits.v01_wall_ms, floor::WALL_MS),
            ("case_wall_ms", limits.case_wall_ms, floor::WALL_MS),
            ("idle_ms", limits.idle_ms, floor::WALL_MS),
            ("cpu_max_ms", limits.cpu_max_ms, floor::CPU_MS),
            ("cpu_ms", limits.cpu_ms, floor::CPU_MS),
            ("memory_max_bytes", limits.memory_max_bytes, floor::MEMORY_BYTES),
            ("memory_bytes", limits.memory_bytes, floor::MEMORY_BYTES),
            ("processes_max", limits.processes_max, floor::PROCESSES),
            ("processes", limits.processes, floor::PROCESSES),
            ("output_max_bytes", limits.output_max_bytes, floor::OUTPUT_BYTES),
            ("output_bytes", limits.output_bytes, floor::OUTPUT_BYTES),
            ("disk_max_bytes", limits.disk_max_bytes, floor::DISK_BYTES),
            ("disk_bytes", limits.disk_bytes, floor::DISK_BYTES),
            ("disk_files", limits.disk_files, floor::DISK_FILES),
            ("cpu_max_millicores", limits.cpu_max_millicores, floor::MILLICORES),
            ("cpu_millicores", limits.cpu_millicores, floor::MILLICORES),
        ];
        for (key, value, min) in floors {
            if value < min {
                let detail = format!("{value} is too small: no program can run with less than {min}");
                return Err((key, detail));
            }
        }
        // Key and value of a default, and those of the most that a request may ask for.
        let defaults = [
            ("wall_ms", limits.wall_ms, "wall_max_ms", limits.wall_max_ms),
            ("v01_wall_ms", limits.v01_wall_ms, "wall_max_ms", limits.wall_max_ms),
            ("cpu_ms", limits.cpu_ms, "cpu_max_ms", limits.cpu_max_ms),
            ("memory_bytes", limits.memory_bytes, "memory_max_bytes", limits.memory_max_bytes),
            ("processes", limits.processes, "processes_max", limits.processes_max),
            ("output_bytes", limits.output_bytes, "output_max_bytes", limits.output_max_bytes),
            ("disk_bytes", limits.disk_bytes, "disk_max_bytes", limits.disk_max_bytes),
            ("cpu_millicores", limits.cpu_millicores, "cpu_max_millicores", limits.cpu_max_millicores),
        ];
        for (key, value, max_key, max) in defaults {
            if value > max {
                return Err((
                    key,
                    format!("{value} is more than {max_key}, which is {max}; change one of them"),
                ));
            }
        }
        // Key, value, minimum and maximum.
        let ranges = [
            ("processes_max", limits.processes_max, 1, 1 << 22),
            ("disk_files", limits.disk_files, 1, 1 << 24),
            ("collect_files_max", limits.collect_files_max, 0, MAX_RESULT_FILES),
            ("collect_max_bytes", limits.collect_max_bytes, 0, 1 << 30),
            ("cases_max", limits.cases_max, 1, MAX_CASES as u64),
            ("cases_max_bytes", limits.cases_max_bytes, 1, 1 << 30),
            ("cpu_max_millicores", limits.cpu_max_millicores, 1, 1 << 20),
            ("body_max_bytes", self.body_max_bytes, 1, 1 << 32),
            ("held_bytes_max", self.held_bytes_max, 1, u64::MAX),
            ("held_bytes_per_address_percent", self.held_bytes_per_address_percent, 1, 100),
            ("guest_serving_percent", self.guest_serving_percent, 1, 100),
            ("starts_per_payer_per_s", self.starts_per_payer_per_s, 1, 1_000_000),
            ("start_timeout_ms", self.start_timeout_ms, 1, 86_400_000),
            ("sessions_running_max", self.sessions_running_max, 1, 50_000),
            ("jwt_jwks_max_age_ms", self.jwt_jwks_max_age_ms, 1_000, 86_400_000),
            ("ticket_lifetime_ms", self.ticket_lifetime_ms, 1_000, 31_536_000_000),
            ("frame_pass_lifetime_ms", self.frame_pass_lifetime_ms, 1_000, 31_536_000_000),
            ("share_lifetime_ms", self.share_lifetime_ms, 1_000, 2_592_000_000),
            ("shares_per_session_max", self.shares_per_session_max, 1, 10_000),
            ("share_creations_per_min", self.share_creations_per_min, 1, 1_000_000),
            ("exercises_per_owner_max", self.exercises_per_owner_max, 1, 1_000_000),
            ("exercises_per_owner_max_bytes", self.exercises_per_owner_max_bytes, 1, 1 << 40),
            ("exercise_max_bytes", self.exercise_max_bytes, 1, 1 << 30),
            ("audit_rows_max", self.audit_rows_max, 1, 1_000_000_000),
            ("connections_max", self.connections_max, 1, 1 << 20),
            ("header_timeout_ms", self.header_timeout_ms, 1, 3_600_000),
            ("body_timeout_ms", self.body_timeout_ms, 1, 3_600_000),
            ("ping_interval_ms", self.ping_interval_ms, 1, 3_600_000),
            ("messages_per_s", self.messages_per_s, 1, 1_000_000),
            ("warm_sandboxes_max", self.warm_sandboxes_max, 1, 1024),
            ("warm_other_sandboxes_max", self.warm_other_sandboxes_max, 0, 1024),
            ("warm_layout_idle_ms", self.warm_layout_idle_ms, 1, 86_400_000),
            ("runtime_check_idle_ms", self.runtime_check_idle_ms, 0, 86_400_000),
            ("sessions_max", self.sessions_max, 1, u64::MAX),
            ("sessions_per_owner_max", self.sessions_per_owner_max, 1, u64::MAX),
            ("sessions_per_address_max", self.sessions_per_address_max, 1, u64::MAX),
            ("sessions_running_per_address_max", self.sessions_running_per_address_max, 1, u64::MAX),
            ("connections_per_address_max", self.connections_per_address_max, 1, u64::MAX),
            ("exec_timeout_ms", self.exec_timeout_ms, 1, u64::MAX),
        ];
        for (key, value, min, max) in ranges {
            let wanted = match max {
                u64::MAX => format!("at least {min}"),
                max => format!("between {min} and {max}"),
            };
            if value < min || value > max {
                return Err((key, format!("{value} cannot work: it must be {wanted}")));
            }
        }
        if self.auth.knows_users() && self.local_user == LocalUser::All {
            let detail = "\"all\" makes every caller the local user, and auth = \"tokens\" or \"jwt\" asks each for a \
                          token; leave out one of them";
            return Err(("local_user", detail.to_owned()));
        }
        self.check_jwt()?;
        check_roles(&self.roles).map_err(|detail| ("roles", detail))?;
        let is_token = |token: &String| {
            token.len() >= MIN_TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.metrics_token.as_ref().is_some_and(|token| !is_token(token)) {
            let detail = format!("a token has at least {MIN_TOKEN_BYTES} visible ASCII characters");
            return Err(("metrics_token", detail));
        }
        Ok(())
    }

    /// By which setting others than the users of this machine may reach the server, in words;
    /// `None` if there is no such setting.
    pub fn is_public_by(&self) -> Option<String> {
        let beyond_loopback = self.listen.iter().find(|address| !address.is_local());
        if let Some(address) = beyond_loopback {
            return Some(format!("it listens on {address}, which other machines may reach"));
        }
        // A proxy may stand in front of a server on loopback and pass strangers on.
        if let [host, ..] = &*self.hosts {
            return Some(format!("hosts names {host}, under which others reach it"));
        }
        let proxy = self.trusted_proxies.first()?;
        Some(format!("trusted_proxies names a proxy ({proxy}), which passes others on"))
    }

    /// Values that are allowed and that hardly anybody wants, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let removed_at_once =
            "each session is removed as soon as it has ended, often before its client has read the end";
        let cases = [
            ("keep_ms", self.keep_ms, removed_at_once),
            ("keep_max_bytes", self.keep_max_bytes, removed_at_once),
            (
                "keep_output_ms",
                self.keep_output_ms,
                "output is removed as soon as a session has ended, often before its client has read it",
            ),
            ("compile_cache_entry_bytes", self.compile_cache_entry_bytes, "the compile cache stays empty"),
        ];
        let is_none = |(key, value, _): &(&str, u64, &str)| {
            *value == 0 && (*key != "compile_cache_entry_bytes" || self.compile_cache_bytes > 0)
        };
        cases.into_iter().filter(is_none).map(|(key, _, what)| format!("{key} is 0: {what}")).collect()
    }
}

/// The place where a setting is set, after a space; empty if it has its default.
fn place_of(figment: &Figment, key: &str) -> String {
    let Some(metadata) = figment.find_metadata(key) else { return String::new() };
    match &metadata.source {
        Some(figment::Source::File(path)) => format!(" (in {})", path.display()),
        _ if metadata.name.contains("environment") => {
            format!(" (in the environment, {ENV_PREFIX}{})", key.to_uppercase())
        }
        _ if metadata.name.ends_with("Flags") => " (on the command line)".into(),
        _ => String::new(),
    }
}

/// Refuses a configuration file that does not exist or has an unknown key.
fn check_keys(path: &Path, keys: &[String]) -> Result<(), ConfigError> {
    if !path.is_file() {
        return Err(ConfigError::NoFile(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A file that is not TOML is reported, with the wrong line, when figment merges it.
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
    fn later_sources_replace_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("livecode.toml");
        std::fs::write(
            &path,
            "wall_ms = 1000\ncpu_ms = 2000\nhosts = ['a.example']\ntrusted_proxies = '127.0.0.1, ::1'\n",
        )
        .unwrap();
        let limits = LimitFlags { cpu_ms: Some(3000), ..LimitFlags::default() };
        let flags = Flags { config: Some(path), limits, ..Flags::default() };
        let (config, _) = Config::load(&flags).unwrap();
        assert_eq!((config.limits.wall_ms, config.limits.cpu_ms), (1000, 3000));
        assert_eq!(config.hosts, ["a.example"]);
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(config.limits.processes, 64);
    }

    #[test]
    fn roles_are_tables_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("livecode.toml");
        std::fs::write(&path, "[roles.pupil]\ncpu_ms_per_day = 5\n[roles.teacher]\n").unwrap();
        let (config, _) = Config::load(&Flags { config: Some(path), ..Flags::default() }).unwrap();
        assert_eq!(config.roles.keys().collect::<Vec<_>>(), ["pupil", "teacher"]);
        assert_eq!(config.roles["pupil"].cpu_ms_per_day, Some(5));
    }

    /// Settings whose value may be 0.
    const ZERO_WORKS: [&str; 24] = [
        "audit_keep_days",
        "collect_files_max",
        "collect_max_bytes",
        "compile_cache_bytes",
        "compile_cache_entry_bytes",
        "disk_keep_free_bytes",
        "disk_min_free_bytes",
        "guest_cpu_ms_per_day",
        "guest_creations_per_min",
        "guest_kept_bytes_max",
        "guest_output_bytes_per_day",
        "keep_max_bytes",
        "keep_ms",
        "keep_output_ms",
        "runtime_check_idle_ms",
        "sessions_queued_max",
        "sessions_queued_per_address_max",
        "user_cpu_ms_per_day",
        "user_creations_per_min",
        "user_kept_bytes_max",
        "user_output_bytes_per_day",
        "user_sessions_queued_max",
        "user_sessions_running_max",
        "warm_other_sandboxes_max",
    ];

    #[test]
    fn every_number_has_a_range_or_may_be_0() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("livecode.toml");
        let settings = [
            serde_json::to_value(Config::default()).unwrap(),
            serde_json::to_value(LimitSettings::default()).unwrap(),
        ];
        let fields = settings.iter().flat_map(|settings| settings.as_object().unwrap());
        let mut may_be_0 = vec![];
        for (key, _) in fields.filter(|(_, value)| value.is_number()) {
            std::fs::write(&path, format!("{key} = 0\n")).unwrap();
            match Config::load(&Flags { config: Some(path.clone()), ..Flags::default() }) {
                Ok(_) => may_be_0.push(key.as_str()),
                Err(error) => assert!(error.to_string().contains(&format!("{key} (in ")), "{error}"),
            }
        }
        may_be_0.sort_unstable();
        assert_eq!(may_be_0, ZERO_WORKS);
    }

    #[test]
    fn an_error_names_the_wrong_setting() {
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
            ("[roles.Pupil]\n", "Pupil"),
            ("[roles.admin]\n", "every server has the role \"admin\""),
            ("[roles.pupil]\ncpu_ms = 1\n", "cpu_ms"),
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
