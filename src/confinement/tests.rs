use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use super::*;

fn reach(directory: &Path, port: u16) -> Reach {
    Reach {
        read: BTreeSet::from(["/proc/self".into(), "/proc/thread-self".into()]),
        write: BTreeSet::from([directory.to_owned()]),
        connect_ports: Some(BTreeSet::from([port])),
        ..Reach::default()
    }
}

/// Runs `work` on a thread that has given up what is not within `reach`.
fn confined<T: Send>(reach: &Reach, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let landlock = landlock_rules::restrict(reach);
            let missing = crate::memory::missing(&landlock);
            assert!(missing.is_empty(), "{missing:?}");
            // Of this thread only: the test runner's others are to go on.
            seccomp_filter::restrict(reach).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn files_outside_the_list_programs_and_other_ports_are_refused() {
    let inside = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "s").unwrap();
    let listed = TcpListener::bind("127.0.0.1:0").unwrap();
    let unlisted = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap();
    let (listed_at, unlisted_at) = (port(&listed), port(&unlisted));
    confined(&reach(inside.path(), listed_at.port()), || {
        let denied = |result: std::io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
        };
        fs::write(inside.path().join("f"), "1").unwrap();
        assert_eq!(fs::read(inside.path().join("f")).unwrap(), b"1");
        fs::remove_file(inside.path().join("f")).unwrap();
        denied(fs::read(&secret).map(drop));
        denied(fs::write(outside.path().join("new"), "1"));
        denied(fs::remove_file(&secret));
        drop(TcpStream::connect(listed_at).unwrap());
        denied(TcpStream::connect(unlisted_at).map(drop));
        denied(TcpListener::bind("127.0.0.1:0").map(drop));
        denied(Command::new("/bin/true").status().map(drop));
        // A thread of a confined thread is confined, and threads there must be.
        let of_a_thread = std::thread::spawn(move || fs::read(secret).map(drop));
        denied(of_a_thread.join().unwrap());
    });
}

#[test]
fn a_confined_process_cannot_make_itself_readable_or_run_as_another_again() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let inside = tempfile::tempdir().unwrap();
    confined(&reach(inside.path(), 1), || {
        assert!(set_dumpable_behavior(DumpableBehavior::Dumpable).is_err());
        assert!(rustix::mm::munlockall().is_err());
        assert_eq!(status_field("NoNewPrivs").as_deref(), Some("1"));
        assert_eq!(status_field("Seccomp").as_deref(), Some("2"));
    });
}

#[test]
fn what_is_rehearsed_does_not_stay() {
    let inside = tempfile::tempdir().unwrap();
    let measures = rehearse(&reach(inside.path(), 1));
    let names: Vec<_> = measures.iter().map(|measure| measure.name).collect();
    assert_eq!(names, [FILES, PORTS, SIGNALS, SYSTEM_CALLS, PRIVILEGES]);
    for measure in &measures {
        assert_eq!(measure.state, State::InForce, "{measure}");
    }
    assert!(Command::new("/bin/true").status().unwrap().success());
}

#[test]
fn with_a_second_thread_confinement_is_refused_where_it_is_required() {
    let inside = tempfile::tempdir().unwrap();
    let reach = reach(inside.path(), 1);
    // The test runner's own thread is the second one.
    let refused = enter(&reach, Insistence::Require).unwrap_err();
    assert!(refused.to_string().contains("another thread"), "{refused}");
    for insistence in [Insistence::Prefer, Insistence::Off] {
        let measures = enter(&reach, insistence).unwrap();
        let missing = crate::memory::missing(&measures);
        assert_eq!(missing.len(), measures.len(), "nothing is claimed");
    }
}

#[test]
fn the_list_names_each_call_once_and_none_that_a_thief_needs() {
    let names: BTreeSet<_> = ALLOWED.iter().map(|syscall| syscall.name).collect();
    let numbers: BTreeSet<_> = ALLOWED.iter().map(|syscall| syscall.number).collect();
    assert_eq!((names.len(), numbers.len()), (ALLOWED.len(), ALLOWED.len()));
    for wanted in [
        "execve",
        "execveat",
        "fork",
        "vfork",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "listen",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "setns",
        "unshare",
        "bpf",
        "io_uring_setup",
        "init_module",
        "finit_module",
        "kexec_load",
        "keyctl",
        "setuid",
        "setresuid",
        "capset",
        "kill",
        "tkill",
        "pidfd_getfd",
        "open_by_handle_at",
        "memfd_create",
        "userfaultfd",
        "perf_event_open",
        "munlockall",
        "link",
        "symlink",
        "mknod",
        "chown",
    ] {
        assert!(!names.contains(wanted), "{wanted}");
    }
}

#[test]
fn nothing_but_tcp_leaves_the_machine_and_no_local_socket_is_reached_unless_one_is_named() {
    use std::net::UdpSocket;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    let inside = tempfile::tempdir().unwrap();
    let path = inside.path().join("socket");
    let listening = UnixListener::bind(&path).unwrap();
    let denied = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
    };
    let narrow = reach(inside.path(), 1);
    confined(&narrow, || {
        denied(UdpSocket::bind("127.0.0.1:0").map(drop));
        denied(UdpSocket::bind("[::1]:0").map(drop));
        denied(UnixStream::connect(&path).map(drop));
        denied(UnixDatagram::unbound().map(drop));
        // The runtime's own.
        UnixStream::pair().unwrap();
    });
    let wide = Reach {
        unix_sockets: true,
        ..narrow
    };
    confined(&wide, || {
        denied(UdpSocket::bind("127.0.0.1:0").map(drop));
        UnixStream::connect(&path).unwrap();
        UnixDatagram::unbound().unwrap();
    });
    drop(listening);
}

#[test]
fn modes_are_only_narrowed() {
    use std::os::unix::fs::PermissionsExt;
    let inside = tempfile::tempdir().unwrap();
    let path = inside.path().join("f");
    fs::write(&path, "").unwrap();
    confined(&reach(inside.path(), 1), || {
        let file = fs::File::open(&path).unwrap();
        for mode in [0o777, 0o644, 0o4755, 0o700] {
            let refused = file.set_permissions(fs::Permissions::from_mode(mode));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
            let refused = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
    });
}
