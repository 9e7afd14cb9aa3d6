//! The kind of container that this process runs in. It only chooses the words and the flags of
//! remedies: what works is always tried.

use std::{fs, path::Path};

use crate::doctor::place;

/// A kind of container, told by the files and the variable that its engine leaves inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Podman,
    Docker,
    Nspawn,
    /// None of these, or no container at all.
    Unknown,
}

impl Container {
    /// Looks for the signs of an engine.
    pub fn find() -> Self {
        let manager = fs::read_to_string("/run/host/container-manager").unwrap_or_default();
        let variable = std::env::var("container").unwrap_or_default();
        // The engines mount files of their own. A sign alone may have been left in the root folder.
        let is_mounted = |path| place::is_mount_point(path) == Some(true);
        if is_mounted("/run/.containerenv") || variable == "podman" {
            Self::Podman
        } else if Path::new("/.dockerenv").exists() && is_mounted("/etc/hostname") {
            Self::Docker
        } else if manager.trim() == "systemd-nspawn" || variable == "systemd-nspawn" {
            Self::Nspawn
        } else {
            Self::Unknown
        }
    }

    /// The command with `flags` that runs a container of this kind. podman stands for an unknown
    /// kind.
    pub fn command(self, flags: &str) -> String {
        match self {
            Self::Podman | Self::Unknown => format!("podman run {flags} …"),
            Self::Docker => format!("docker run {flags} …"),
            Self::Nspawn => format!("systemd-nspawn {flags} …"),
        }
    }

    /// The command that gives a container these capabilities, which are named without `CAP_`.
    pub fn with_capabilities(self, names: &[&str]) -> String {
        let flags: Vec<_> = match self {
            Self::Nspawn => {
                let names: Vec<_> = names.iter().map(|name| format!("CAP_{name}")).collect();
                vec![format!("--capability={}", names.join(","))]
            }
            _ => names.iter().map(|name| format!("--cap-add {name}")).collect(),
        };
        self.command(&flags.join(" "))
    }

    /// The command whose filter lets these system calls pass.
    pub fn with_system_calls(self, names: &[&str]) -> String {
        match self {
            Self::Nspawn => self.command(&format!("--system-call-filter=\"{}\"", names.join(" "))),
            _ => self.command("--security-opt seccomp=unconfined"),
        }
    }

    /// The command that gives a container groups that its root may change.
    pub fn with_cgroups(self, is_v2: bool) -> String {
        match self {
            Self::Podman if is_v2 => self.command("--security-opt unmask=/sys/fs/cgroup"),
            Self::Nspawn => self.command("--bind=/sys/fs/cgroup"),
            _ => self.command("-v /sys/fs/cgroup:/sys/fs/cgroup:rw"),
        }
    }

    /// The flag that gives a container the device `path` of its host.
    pub fn device_flag(self, path: &str) -> String {
        match self {
            Self::Nspawn => format!("--bind={path}"),
            _ => format!("--device {path}"),
        }
    }

    /// The command that runs the container's programs as its root.
    pub fn as_inner_root(self) -> String {
        match self {
            Self::Unknown => "sudo livecode serve".to_owned(),
            _ => self.command("--user root"),
        }
    }

    /// The command by which root of the machine runs a container without a user namespace.
    pub fn as_root(self) -> String {
        let command = self.command("");
        format!("sudo {}", command.replace("  ", " "))
    }

    /// The command that gives a container the whole of /proc, or nothing where no flag is known.
    pub fn with_whole_proc(self) -> String {
        match self {
            Self::Docker => self.command("--security-opt systempaths=unconfined"),
            // A container with --private-users has been seen to need none.
            Self::Nspawn => String::new(),
            Self::Podman | Self::Unknown => self.command("--security-opt 'unmask=/proc/*'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_flags_of_its_own() {
        assert_eq!(
            Container::Podman.with_capabilities(&["SYS_ADMIN", "CHOWN"]),
            "podman run --cap-add SYS_ADMIN --cap-add CHOWN …"
        );
        assert_eq!(
            Container::Nspawn.with_capabilities(&["SYS_ADMIN", "CHOWN"]),
            "systemd-nspawn --capability=CAP_SYS_ADMIN,CAP_CHOWN …"
        );
        assert_eq!(Container::Docker.with_cgroups(true), "docker run -v /sys/fs/cgroup:/sys/fs/cgroup:rw …");
    }
}
