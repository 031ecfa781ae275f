//! `cloakroom openapi`: prints a plane's contract.

use clap::{Args, ValueEnum};

use super::{Failure, exit, print};
use crate::http::openapi;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which plane's document.
    #[arg(long, value_enum, default_value_t = Plane::Internal)]
    plane: Plane,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Plane {
    /// What browsers reach.
    Capture,
    /// What merchant backends and billing reach.
    Internal,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let document = match arguments.plane {
        Plane::Capture => openapi::capture_document(),
        Plane::Internal => openapi::internal_document(),
    };
    let text = serde_json::to_string_pretty(&document);
    print(text.map_err(|error| Failure::new(exit::SOFTWARE, error))?)
}
