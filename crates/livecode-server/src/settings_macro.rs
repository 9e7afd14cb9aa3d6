//! The macro that declares settings, used by the server's own settings and by those of limits.

/// Declares a list of settings once, and makes two types of it: a struct with the value of each
/// setting and a `Default`, and a struct of command-line flags, of which each may be left out.
///
/// | section | type of the setting | type of its flag |
/// | --- | --- | --- |
/// | `optional` | `Option<T>`, `Vec<T>`, `bool`; by default `None`, empty, `false` | the same |
/// | `with_default` | `T`, with a default after `=` | `Option<T>` |
///
/// The doc comment of a setting is also the help of its flag. In an `optional` section, `#[arg]`
/// applies to the flag and `#[serde]` to the setting. The flags are listed in the help in the
/// order of their declaration. A `nested` field is a further list of settings that is declared
/// elsewhere; it has no flag here and is not read with the rest. A `table` is a setting without a
/// flag, a table of the file, by default empty.
///
/// A flag that is not given is left out when flags are serialized, so that it does not replace the
/// value of another source.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $name:ident, $flags:ident {
            $(
                $(optional {
                    $(
                        $(#[doc = $optional_doc:literal])*
                        #[arg($($arg:tt)*)]
                        $(#[serde($($serde:tt)*)])?
                        $optional:ident: $optional_type:ty,
                    )*
                })?
                with_default {
                    $(
                        $(#[doc = $doc:literal])*
                        $field:ident: $type:ty = $default:expr,
                    )*
                }
            )*
            $(
                $(#[doc = $nested_doc:literal])*
                nested $nested:ident: $nested_type:ty,
            )?
            $(
                table $table:ident: $table_type:ty,
            )?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        pub struct $name {
            $(
                $($(
                    $(#[doc = $optional_doc])*
                    $(#[serde($($serde)*)])?
                    pub $optional: $optional_type,
                )*)?
                $(
                    $(#[doc = $doc])*
                    pub $field: $type,
                )*
            )*
            $(
                $(#[doc = $nested_doc])*
                #[serde(skip)]
                pub $nested: $nested_type,
            )?
            $(
                /// A table of the file, for which there is no flag.
                pub $table: $table_type,
            )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $(
                        $($($optional: Default::default(),)*)?
                        $($field: $default,)*
                    )*
                    $($nested: Default::default(),)?
                    $($table: Default::default(),)?
                }
            }
        }

        /// The same settings as command-line flags.
        #[derive(Clone, Debug, Default, ::clap::Args, ::serde::Serialize)]
        pub struct $flags {
            $(
                $($(
                    $(#[doc = $optional_doc])*
                    #[arg($($arg)*)]
                    #[serde(skip_serializing_if = "crate::settings_macro::is_absent")]
                    pub $optional: $optional_type,
                )*)?
                $(
                    $(#[doc = $doc])*
                    #[arg(long)]
                    #[serde(skip_serializing_if = "Option::is_none")]
                    pub $field: Option<$type>,
                )*
            )*
        }
    };
}
pub(crate) use settings;

/// Whether an optional flag was not given.
pub(crate) fn is_absent<T: Default + PartialEq>(flag: &T) -> bool {
    *flag == T::default()
}
