//! The server's settings. Each comes from its default, a TOML file, the environment or a
//! command-line flag; a later source in this order replaces an earlier one.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `settings` | which settings there are, with their defaults and help |
//! | `addresses` | where the server listens, and which proxies it trusts |
//! | `cors_origins` | which other origins' pages may use the server |
//! | `machine` | the memory of this machine, from which defaults are derived |
//! | `jwks_source` | where the keys of JWTs are |
//! | `jwt` | which settings of JWTs fit together |
//! | `roles` | the limits of roles that the configuration names |
//! | `load` | how the sources are merged, and which values are refused |
//! | `example` | the configuration file with every setting as a comment |
//!
//! The limits of programs are settings too. `spec/limits.rs` declares them, beside the code that
//! resolves the limits of a request.

mod addresses;
mod cors_origins;
mod example;
mod jwks_source;
mod jwt;
mod load;
mod machine;
mod roles;
mod settings;

pub use addresses::{ListenAddress, SocketAccess, TrustedProxy};
pub use cors_origins::CorsOrigins;
pub use jwks_source::JwksSource;
pub use jwt::{JwtSettings, KeySetting};
pub use load::{ConfigError, Flags};
pub use roles::RoleSettings;
pub use settings::{AuthMode, Config, LocalUser, LogFormat, ServerFlags, Switch};
