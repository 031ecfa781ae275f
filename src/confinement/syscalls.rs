//! The system calls that a serving process keeps, by what they are for.
//!
//! Found by tracing whole runs (both engines, start to graceful stop) and by what the C library,
//! the runtime and SQLite fall back to. What is missing says as much: no `execve`, no `fork`, no
//! `ptrace`, no `listen`, no `mount`, no `bpf`, no `io_uring`, no way to become another user or to
//! become dumpable again. `deploy/seccomp.json` is this list for a container, held equal by a test.

/// A system call that stays.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// Its name, as in its manual page.
    pub name: &'static str,
    /// Its number on this machine.
    pub number: i64,
    /// Under which arguments.
    pub(super) check: Check,
}

/// What a call's arguments must be; places count from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// Anything.
    Always,
    /// One of these.
    OneOf(u8, &'static [u64]),
    /// This flag is set.
    Has(u8, i32),
    /// This flag is not set.
    HasNot(u8, i32),
    /// Not both of these flags at once.
    NotBoth(u8, i32, i32),
    /// A null pointer.
    Null(u8),
    /// This process's own id.
    Own(u8),
    /// All of one line.
    Combined(&'static [&'static [Argument]]),
}

/// One argument: its place, the bits that are looked at, and what they must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    pub(super) place: u8,
    pub(super) mask: u64,
    pub(super) value: u64,
}

const fn is(place: u8, value: u64) -> Argument {
    Argument {
        place,
        mask: 0xffff_ffff,
        value,
    }
}

/// The type of a socket, without the flags that may stand beside it.
const fn of_type(value: u64) -> Argument {
    Argument {
        place: 1,
        mask: 0xf,
        value,
    }
}

macro_rules! list {
    ($($(#[$of:meta])* $name:ident = $number:ident $(if $check:expr)?;)+) => {
        &[$($(#[$of])* Syscall {
            name: stringify!($name),
            number: libc::$number,
            check: list!(@ $($check)?),
        },)+]
    };
    (@) => { Check::Always };
    (@ $check:expr) => { $check };
}

const UNIX: Argument = is(0, 1);
const INET: Argument = is(0, 2);
const INET6: Argument = is(0, 10);
const NETLINK: Argument = is(0, 16);
const _: () = assert!(
    libc::AF_UNIX == 1 && libc::AF_INET == 2 && libc::AF_INET6 == 10 && libc::AF_NETLINK == 16
);
const STREAM: Argument = of_type(1);
const DATAGRAM: Argument = of_type(2);
const RAW: Argument = of_type(3);
const _: () = assert!(libc::SOCK_STREAM == 1 && libc::SOCK_DGRAM == 2 && libc::SOCK_RAW == 3);
const ANY_PROTOCOL: Argument = is(2, 0);
const TCP: Argument = is(2, 6);
const _: () = assert!(libc::IPPROTO_TCP == 6);

/// TCP, whose ports Landlock knows, and nothing else of the Internet: no datagrams (names are
/// resolved over TCP: `net::names`), no MPTCP, no SCTP. Netlink's routes are how the resolver learns
/// the machine's addresses.
const SOCKETS: &[&[Argument]] = &[
    &[INET, STREAM, ANY_PROTOCOL],
    &[INET, STREAM, TCP],
    &[INET6, STREAM, ANY_PROTOCOL],
    &[INET6, STREAM, TCP],
    &[NETLINK, RAW, ANY_PROTOCOL],
];
/// The same where the configuration names a socket of this machine: a database's, syslog's.
pub(super) const SOCKETS_AND_UNIX: &[&[Argument]] = &[
    &[INET, STREAM, ANY_PROTOCOL],
    &[INET, STREAM, TCP],
    &[INET6, STREAM, ANY_PROTOCOL],
    &[INET6, STREAM, TCP],
    &[NETLINK, RAW, ANY_PROTOCOL],
    &[UNIX, STREAM, ANY_PROTOCOL],
    &[UNIX, DATAGRAM, ANY_PROTOCOL],
];
/// How the runtime wakes itself up for signals.
const PAIRS: &[&[Argument]] = &[
    &[UNIX, STREAM, ANY_PROTOCOL],
    &[UNIX, DATAGRAM, ANY_PROTOCOL],
];

/// Options of the socket itself and of IP; of TCP those that clients and servers set, and none that
/// connects without a call of `connect`, which Landlock would see.
const OPTIONS: &[&[Argument]] = &[
    &[is(1, 0)],
    &[is(1, 1)],
    &[is(1, 41)],
    &[is(1, 6), is(2, 1)],
    &[is(1, 6), is(2, 4)],
    &[is(1, 6), is(2, 5)],
    &[is(1, 6), is(2, 6)],
    &[is(1, 6), is(2, 18)],
];
const _: () = assert!(
    libc::IPPROTO_IP == 0
        && libc::SOL_SOCKET == 1
        && libc::IPPROTO_IPV6 == 41
        && libc::TCP_NODELAY == 1
        && libc::TCP_KEEPIDLE == 4
        && libc::TCP_KEEPINTVL == 5
        && libc::TCP_KEEPCNT == 6
        && libc::TCP_USER_TIMEOUT == 18
);

/// Thread names, which a debugger and `top` show, and reading back whether dumps are off.
const PRCTL: &[u64] = &[15, 16, 3];
const _: () =
    assert!(libc::PR_SET_NAME == 15 && libc::PR_GET_NAME == 16 && libc::PR_GET_DUMPABLE == 3);

/// Sockets are set not to block; whether standard output is a terminal is asked.
const IOCTL: &[u64] = &[libc::FIONBIO, libc::FIOCLEX, libc::TCGETS, libc::TIOCGWINSZ];

/// Rights are only taken away: Landlock does not look at changes of mode.
const OWNER_ONLY: &[u64] = &[0o600];

/// Executable mappings, where the configuration names a module that is loaded while it serves.
pub(super) const MODULES: Check = Check::NotBoth(2, libc::PROT_WRITE, libc::PROT_EXEC);

/// What stays.
pub const ALLOWED: &[Syscall] = list! {
    // Memory. Nothing becomes executable any more: neither memory nor a file.
    brk = SYS_brk;
    madvise = SYS_madvise;
    mlock = SYS_mlock;
    mlock2 = SYS_mlock2;
    mmap = SYS_mmap if Check::HasNot(2, libc::PROT_EXEC);
    mprotect = SYS_mprotect if Check::HasNot(2, libc::PROT_EXEC);
    mremap = SYS_mremap;
    munlock = SYS_munlock;
    munmap = SYS_munmap;
    // Threads, and no processes: what is cloned shares its parent's threads.
    clone = SYS_clone if Check::Has(0, libc::CLONE_THREAD);
    clone3 = SYS_clone3;
    exit = SYS_exit;
    exit_group = SYS_exit_group;
    futex = SYS_futex;
    get_robust_list = SYS_get_robust_list;
    getcpu = SYS_getcpu;
    membarrier = SYS_membarrier;
    prctl = SYS_prctl if Check::OneOf(0, PRCTL);
    prlimit64 = SYS_prlimit64 if Check::Null(2);
    rseq = SYS_rseq;
    sched_getaffinity = SYS_sched_getaffinity;
    sched_yield = SYS_sched_yield;
    set_robust_list = SYS_set_robust_list;
    // Signals: to itself only, as abort(3) does.
    restart_syscall = SYS_restart_syscall;
    rt_sigaction = SYS_rt_sigaction;
    rt_sigprocmask = SYS_rt_sigprocmask;
    rt_sigreturn = SYS_rt_sigreturn;
    sigaltstack = SYS_sigaltstack;
    tgkill = SYS_tgkill if Check::Own(0);
    // Who and where it is.
    getegid = SYS_getegid;
    geteuid = SYS_geteuid;
    getgid = SYS_getgid;
    getpid = SYS_getpid;
    getppid = SYS_getppid;
    gettid = SYS_gettid;
    getuid = SYS_getuid;
    sysinfo = SYS_sysinfo;
    uname = SYS_uname;
    // Time and randomness.
    clock_getres = SYS_clock_getres;
    clock_gettime = SYS_clock_gettime;
    clock_nanosleep = SYS_clock_nanosleep;
    getrandom = SYS_getrandom;
    gettimeofday = SYS_gettimeofday;
    nanosleep = SYS_nanosleep;
    // Waiting.
    epoll_create1 = SYS_epoll_create1;
    epoll_ctl = SYS_epoll_ctl;
    epoll_pwait = SYS_epoll_pwait;
    eventfd2 = SYS_eventfd2;
    ppoll = SYS_ppoll;
    pselect6 = SYS_pselect6;
    // Connections. Whoever listens does so already.
    accept4 = SYS_accept4;
    bind = SYS_bind;
    connect = SYS_connect;
    getpeername = SYS_getpeername;
    getsockname = SYS_getsockname;
    getsockopt = SYS_getsockopt;
    recvfrom = SYS_recvfrom;
    recvmmsg = SYS_recvmmsg;
    recvmsg = SYS_recvmsg;
    // Data that goes with a SYN connects, and Landlock does not see it.
    sendmmsg = SYS_sendmmsg if Check::HasNot(3, libc::MSG_FASTOPEN);
    sendmsg = SYS_sendmsg if Check::HasNot(2, libc::MSG_FASTOPEN);
    sendto = SYS_sendto if Check::HasNot(3, libc::MSG_FASTOPEN);
    setsockopt = SYS_setsockopt if Check::Combined(OPTIONS);
    shutdown = SYS_shutdown;
    socket = SYS_socket if Check::Combined(SOCKETS);
    socketpair = SYS_socketpair if Check::Combined(PAIRS);
    // Files: of which, Landlock decides.
    close = SYS_close;
    dup = SYS_dup;
    faccessat = SYS_faccessat;
    faccessat2 = SYS_faccessat2;
    fallocate = SYS_fallocate;
    fchmod = SYS_fchmod if Check::OneOf(1, OWNER_ONLY);
    fchmodat = SYS_fchmodat if Check::OneOf(2, OWNER_ONLY);
    fcntl = SYS_fcntl;
    fdatasync = SYS_fdatasync;
    flock = SYS_flock;
    fstat = SYS_fstat;
    fstatfs = SYS_fstatfs;
    fsync = SYS_fsync;
    ftruncate = SYS_ftruncate;
    getcwd = SYS_getcwd;
    getdents64 = SYS_getdents64;
    ioctl = SYS_ioctl if Check::OneOf(1, IOCTL);
    lseek = SYS_lseek;
    newfstatat = SYS_newfstatat;
    openat = SYS_openat;
    pipe2 = SYS_pipe2;
    pread64 = SYS_pread64;
    preadv = SYS_preadv;
    pwrite64 = SYS_pwrite64;
    pwritev = SYS_pwritev;
    read = SYS_read;
    readlinkat = SYS_readlinkat;
    readv = SYS_readv;
    renameat2 = SYS_renameat2;
    statx = SYS_statx;
    unlinkat = SYS_unlinkat;
    write = SYS_write;
    writev = SYS_writev;
    // The older forms of the same, where the machine has them.
    #[cfg(target_arch = "x86_64")] access = SYS_access;
    #[cfg(target_arch = "x86_64")] chmod = SYS_chmod if Check::OneOf(1, OWNER_ONLY);
    #[cfg(target_arch = "x86_64")] epoll_wait = SYS_epoll_wait;
    #[cfg(target_arch = "x86_64")] lstat = SYS_lstat;
    #[cfg(target_arch = "x86_64")] open = SYS_open;
    #[cfg(target_arch = "x86_64")] poll = SYS_poll;
    #[cfg(target_arch = "x86_64")] readlink = SYS_readlink;
    #[cfg(target_arch = "x86_64")] rename = SYS_rename;
    #[cfg(target_arch = "x86_64")] stat = SYS_stat;
    #[cfg(target_arch = "x86_64")] unlink = SYS_unlink;
};

/// What is answered with `ENOSYS`, so that the C library makes threads with `clone`, whose flags
/// the filter can see.
pub(super) const NOT_THERE: &[Syscall] = list! {
    clone3 = SYS_clone3;
};
