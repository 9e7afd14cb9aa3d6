//! The configuration file with every setting in it, as a comment.

use clap::{Args as _, Command};
use serde_json::{Map, Value};

use crate::{
    config::{load::Flags, settings::Config},
    spec::LimitSettings,
};

/// The longest line of the comments, in characters.
const LINE_CHARS: usize = 98;

const HEAD: &str = "\
# Settings of LiveCode. Each is shown with its default, or with an example where there is none or
# the default depends on the machine. Remove the # before a name to change the setting, and start
# the server again. A variable of the environment (LIVECODE_ and the name in capitals) replaces a
# setting of this file, and a flag of `livecode serve` replaces both. docs/operating.md explains
# limits, proxies and users.
";

/// A setting whose default is no value at all, or depends on the machine, and a value to show. The
/// file must be the same wherever it is made: a package compares it with the one that it replaces.
const EXAMPLES: [(&str, &str); 15] = [
    ("hosts", r#"["live.example.org"]"#),
    ("trusted_proxies", r#"["127.0.0.1"]"#),
    ("listen", r#"["127.0.0.1:8000"]"#),
    ("data_dir", r#""/var/lib/livecode""#),
    ("frame_ancestors", r#"["https://learn.example.org"]"#),
    ("jwt_key_file", r#""/etc/livecode/jwt.pem""#),
    ("jwt_jwks", r#""https://learn.example.org/jwks.json""#),
    ("jwt_issuer", r#""https://learn.example.org""#),
    ("jwt_audience", r#""livecode""#),
    ("jwt_role_claim", r#""role""#),
    ("runtimes_dir", r#""/etc/livecode/runtimes""#),
    ("held_bytes_max", "536_870_912"),
    ("sessions_running_max", "400"),
    ("cpu_max_millicores", "4_000"),
    ("metrics_token", r#""a-long-random-word""#),
];

/// The tables, which no flag stands for.
const TABLES: &str = "
# Further roles, each with limits of its own. A limit that is left out is that of users (user_…).
# The limits are sessions_running_max, sessions_queued_max, creations_per_min, cpu_ms_per_day,
# output_bytes_per_day and kept_bytes_max. Users of a role with write_exercises may keep exercises
# on the server. docs/users.md explains them.
#[roles.pupil]
#cpu_ms_per_day = 600_000
#[roles.teacher]
#write_exercises = true
";

impl Config {
    /// The configuration file with every setting in it, as a comment: its documentation, and
    /// `#name = value`. A value that differs from machine to machine is an example.
    pub fn example() -> String {
        let defaults = defaults();
        let mut text = HEAD.to_owned();
        for argument in Flags::augment_args(Command::new("serve")).get_arguments() {
            let name = argument.get_id().as_str();
            let Some(default) = defaults.get(name) else { continue };
            let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
            text.push('\n');
            push_comment(&mut text, &help.unwrap_or_default());
            let example = EXAMPLES.iter().find(|(key, _)| *key == name);
            let value = example.map_or_else(|| toml_value(default), |(_, value)| (*value).to_owned());
            text.push_str(&format!("#{name} = {value}\n"));
        }
        text + TABLES
    }
}

/// The names and defaults of all settings.
fn defaults() -> Map<String, Value> {
    let fields = |value| match value {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut all = fields(serde_json::to_value(Config::default()));
    all.extend(fields(serde_json::to_value(LimitSettings::default())));
    all
}

/// Appends a paragraph as comments.
fn push_comment(text: &mut String, paragraph: &str) {
    let paragraph = paragraph.trim_end_matches('.');
    let mut line = String::from("#");
    for word in format!("{paragraph}.").split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > LINE_CHARS {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// A value as TOML, large numbers with separators.
fn toml_value(value: &Value) -> String {
    let Some(number) = value.as_u64() else { return value.to_string() };
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn load(path: &Path) -> Config {
        let mut flags = Flags::default();
        flags.config = Some(path.to_owned());
        Config::load(&flags).unwrap().0
    }

    #[test]
    fn every_setting_is_there_once_and_is_accepted_with_its_default() {
        let example = Config::example();
        let uncommented: String = example
            .lines()
            .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')))
            .map(|line| format!("{line}\n"))
            .collect();
        // Tables are the end of the file.
        let (uncommented, tables) = uncommented.split_once("[roles.pupil]\n").unwrap();
        let mut names: Vec<_> = uncommented.lines().filter_map(|line| line.split(" = ").next()).collect();
        names.push("roles");
        names.sort_unstable();
        let defaults = defaults();
        let mut all: Vec<_> = defaults.keys().map(String::as_str).collect();
        all.sort_unstable();
        assert_eq!(names, all);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("livecode.toml");
        // The settings of JWTs need another `auth`, and the two places of keys exclude each other.
        let is_of_jwt = |line: &&str| line.starts_with("jwt_") && !line.starts_with("jwt_jwks_max_age");
        let (of_jwt, rest): (Vec<&str>, Vec<&str>) = uncommented.lines().partition(is_of_jwt);
        for place in ["jwt_key_file", "jwt_jwks"] {
            let given = of_jwt.iter().filter(|line| !line.starts_with(&format!("{place} ")));
            let text: String = given.map(|line| format!("{line}\n")).collect();
            std::fs::write(&path, format!("auth = \"jwt\"\n{text}")).unwrap();
            assert!(load(&path).jwt().is_some(), "{text}");
        }
        std::fs::write(&path, format!("{}\n[roles.pupil]\n{tables}", rest.join("\n"))).unwrap();
        let mut config = load(&path);
        assert_eq!(config.roles.remove("pupil").and_then(|role| role.cpu_ms_per_day), Some(600_000));
        assert!(config.roles.remove("teacher").is_some_and(|role| role.write_exercises));
        let mut set = serde_json::to_value(&config).unwrap();
        let limits = serde_json::to_value(&config.limits).unwrap();
        set.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        for (name, value) in set.as_object().unwrap() {
            let is_example = EXAMPLES.iter().any(|(key, _)| key == name);
            assert!(is_example || defaults[name] == *value, "{name} = {value}");
        }
        // As a comment it changes nothing.
        std::fs::write(&path, &example).unwrap();
        let config = load(&path);
        assert_eq!(config.limits, LimitSettings::default());
        assert!(config.hosts.is_empty() && config.metrics_token.is_none());
    }

    #[test]
    fn every_example_is_of_a_setting_and_lines_are_short() {
        let defaults = defaults();
        for (name, _) in EXAMPLES {
            assert!(defaults.contains_key(name), "{name}");
        }
        for line in Config::example().lines() {
            assert!(line.chars().count() <= LINE_CHARS, "{line}");
        }
        assert_eq!(toml_value(&Value::from(1_048_576_u64)), "1_048_576");
        assert_eq!(toml_value(&Value::from(12_u64)), "12");
    }
}
