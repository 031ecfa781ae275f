//! The temporary PostgreSQL.

use std::fs;

use clap::Parser as _;
use tempfile::TempDir;

use super::load::arguments::Arguments;
use super::load::cluster::{Cluster, Programs, newest, user};

#[test]
fn the_newest_version_is_found_by_its_number() {
    let installed = TempDir::new().unwrap();
    assert_eq!(newest(installed.path()), None);
    for version in ["9", "15", "16", "common"] {
        fs::create_dir(installed.path().join(version)).unwrap();
    }
    assert_eq!(
        newest(installed.path()),
        Some(installed.path().join("16/bin"))
    );
    assert_eq!(newest(&installed.path().join("nowhere")), None);
}

#[test]
fn a_user_is_found_by_its_whole_name() {
    assert_eq!(user("root").unwrap(), (0, 0));
    assert!(user("roo").is_err() && user("").is_err());
}

/// Where PostgreSQL is installed; `tests/run` installs it.
#[test]
fn a_temporary_cluster_commits_durably_and_leaves_nothing_behind() {
    let arguments = Arguments::parse_from(["load"]);
    let Some(programs) = Programs::find(&arguments).unwrap() else {
        return;
    };
    let cluster = Cluster::start(&programs, &arguments).unwrap();
    let dir = cluster.dir.path().to_owned();
    let show = "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'listen_addresses', 'synchronous_commit')";
    let said = programs
        .run("psql", &["-At", "-d", &cluster.url, "-c", show])
        .unwrap();
    assert_eq!(said.trim_end_matches('\n'), "on on  on");
    drop(cluster);
    assert!(!dir.exists());
}
