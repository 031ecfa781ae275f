//! `cloakroom config reference`: every key, its default and what it is for.

use clap::{Args, Subcommand};

use super::{Failure, print};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Prints every key of the configuration with its default, as Markdown.
    Reference {
        /// The JSON schema (2020-12) of the configuration instead, for editors.
        #[arg(long)]
        json_schema: bool,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.verb {
        Verb::Reference { json_schema: true } => print(format_args!("{:#}", config::schema())),
        Verb::Reference { json_schema: false } => print(config::reference().trim_end()),
    }
}
