//! The macro that declares the settings, and the reference made from the declaration.

/// One setting as the reference shows it.
#[derive(Debug, Clone)]
pub struct Setting {
    pub section: &'static str,
    pub key: &'static str,
    pub kind: &'static str,
    pub default: String,
    pub says: &'static str,
}

impl Setting {
    /// `PORTICO_MQTT_BIND`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("PORTICO_{}_{}", self.section, self.key).to_uppercase()
    }
}

macro_rules! settings {
    ($($section:ident $title:literal { $($key:ident: $kind:ty = $default:expr, $says:literal;)* })*) => {
        /// All settings, with their values after file and environment.
        #[derive(Debug, Clone, serde::Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        pub struct Config {
            $(#[doc = $title] pub $section: section::$section,)*
            /// Brokers to follow.
            pub brokers: Vec<Broker>,
            /// Signed senders of JSON over HTTP.
            pub webhooks: Vec<Webhook>,
        }

        #[expect(non_camel_case_types, reason = "a section's type has the section's name")]
        mod section {
            use super::*;
            $(
                #[doc = $title]
                #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
                #[serde(default)]
                pub struct $section { $(#[doc = $says] pub $key: $kind,)* }

                impl Default for $section {
                    fn default() -> Self {
                        Self { $($key: $default,)* }
                    }
                }
            )*
        }

        /// Section, title and settings, in the order of the declaration.
        pub(super) fn declared() -> Vec<(&'static str, &'static str, Vec<setting::Setting>)> {
            vec![$((stringify!($section), $title, {
                let defaults = toml::Value::try_from(section::$section::default()).unwrap_or(toml::Value::Boolean(false));
                vec![$(setting::Setting {
                    section: stringify!($section),
                    key: stringify!($key),
                    kind: stringify!($kind),
                    default: defaults.get(stringify!($key)).map(ToString::to_string).unwrap_or_default(),
                    says: $says,
                },)*]
            }),)*]
        }
    };
}

pub(super) use settings;

/// The settings reference in Markdown: what `portico config reference` prints and `docs/CONFIGURATION.md` holds.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Settings\n\nGenerated from the declaration in `server/src/config.rs` by `cargo xtask gen`; do not edit.\n\
         A setting is read from its environment name, else from the TOML file, else it has its default.\n",
    );
    for (section, title, settings) in super::declared() {
        out += &format!("\n## [{section}]\n\n{title}.\n\n| key | environment | default | what it does |\n|---|---|---|---|\n");
        for s in settings {
            out += &format!("| `{}` | `{}` | `{}` | {} |\n", s.key, s.env(), s.default, s.says);
        }
    }
    out += "\n## [[brokers]]\n\nExternal MQTT brokers to follow, one table each: `url`, `client_id`, `user`, `password_file`, `topics`, \
            `shared_group`, `tenant`, `source`.\n";
    out += "\n## [[webhooks]]\n\nSenders of signed JSON to `/api/ingest/webhook/{name}`, one table each: `name`, `secret_file` (at least 16 bytes), `user` \
            (for whom its messages count).\n";
    out
}
