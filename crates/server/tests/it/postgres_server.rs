//! PostgreSQL as the tests have it: real servers in processes of their own, under free ports and as an unprivileged
//! user, a primary alone or with standbys that stream from it and can be promoted. Whoever connects over TCP needs a
//! password, by SCRAM; every statement is logged.

#![allow(dead_code, reason = "every test binary that includes it uses its own part")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;

/// The role that may do everything. Its password is for TCP; `sql` needs none.
pub(crate) const SUPERUSER: &str = "postgres";
pub(crate) const SUPERUSER_PASSWORD: &str = "the superuser's own";

/// Where Debian has the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const SET_UP: &str = "PostgreSQL 15 is not installed: run `cargo xtask setup`";
/// PostgreSQL doesn't run as root. `nobody` of Debian's, which every system has.
const UNPRIVILEGED_ID: u32 = 65_534;
/// Ports that somebody else took between their choice and their use.
const START_ATTEMPTS: u32 = 5;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A minute, on a machine that has much else to do.
const START_LOOKS_MAX: u32 = 3_000;

/// Ends the server at once when standard input is closed: with the value that holds it, or with its process. Ends when
/// the server does.
const RUN: &str = r#""$0"/postgres -D "$1" <&- & server=$!
exec 3<&0
(read -r _ <&3; kill -QUIT $server) & exec 3<&-
wait $server"#;

/// Nothing is made durable: the tests end servers, never the machine.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = local
full_page_writes = off
max_connections = 40
shared_buffers = 16MB
dynamic_shared_memory_type = posix
autovacuum = off
password_encryption = 'scram-sha-256'
log_statement = 'all'
log_connections = on
log_line_prefix = '%a %u %d: '
wal_level = replica
hot_standby = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
";

/// What the tests connect through needs a password; what commands the server past them doesn't.
const HBA: &str = "
local all         all               trust
local replication all               trust
host  all         all  127.0.0.1/32 scram-sha-256
host  replication all  127.0.0.1/32 scram-sha-256
";

/// A running server. It ends with this value, and with the process that holds it.
pub(crate) struct Server {
    port: u16,
    /// Its standard input stays open as long as the server is to run.
    process: Option<Child>,
    dir: TempDir,
    /// Held for the next server.
    template: Arc<TempDir>,
}

/// A certificate for the server, in PEM.
pub(crate) struct Identity<'a> {
    pub(crate) certificate: &'a str,
    pub(crate) key: &'a str,
}

impl Server {
    /// A primary. Takes about half a second.
    ///
    /// # Panics
    /// When PostgreSQL isn't installed: these tests are never skipped.
    pub(crate) fn start() -> Server {
        Server::with("", None)
    }

    /// A primary with more settings, as they stand in `postgresql.conf`, and with TLS where there is an identity.
    pub(crate) fn with(settings: &str, identity: Option<Identity<'_>>) -> Server {
        let template = shared_template();
        let dir = copy_of(&template);
        append(&data(&dir).join("postgresql.conf"), settings);
        if let Some(identity) = identity {
            enable_tls(&data(&dir), &identity);
        }
        launch(dir, template)
    }

    /// A primary with a line of `pg_hba.conf` that comes before all others.
    pub(crate) fn with_hba(line: &str) -> Server {
        let template = shared_template();
        let dir = copy_of(&template);
        fs::write(data(&dir).join("pg_hba.conf"), format!("{line}\n{HBA}")).unwrap();
        launch(dir, template)
    }

    /// A standby of this primary, which streams from it.
    pub(crate) fn standby(&self) -> Server {
        let dir = empty_dir();
        let base = data(&dir);
        let socket = self.dir.path().display();
        let mut copy = program("pg_basebackup");
        copy.args(["--username", SUPERUSER, "--host", &socket.to_string(), "--port", &self.port.to_string()]);
        copy.args(["--checkpoint", "fast", "--no-sync", "--pgdata"]).arg(&base);
        run(copy);
        let primary = format!("primary_conninfo = 'user={SUPERUSER} host={socket} port={}'\n", self.port);
        append(&base.join("postgresql.conf"), &primary);
        write_own(&base.join("standby.signal"), "");
        launch(dir, Arc::clone(&self.template))
    }

    /// Lets a standby accept changes from now on, of its own.
    pub(crate) fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote(true, 30)"), "t", "not promoted");
    }

    /// Ends the server at once, as a crash does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            end(process);
        }
    }

    /// Starts a server that was killed, at the port that it had.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut process = spawn(&self.dir, self.port);
        assert!(is_up(&self.dir, &mut process), "{}", self.log());
        self.process = Some(process);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` of the target.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What a statement comes to, as the superuser, past what is tested: columns by `|`, rows by line.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let socket = self.dir.path().display().to_string();
        let mut psql = self.psql(&socket, SUPERUSER, "postgres");
        psql.args(["--command", statement]);
        run(psql)
    }

    /// A session in which statements were run and that stays open as long as the value.
    pub(crate) fn hold(&self, statements: &str) -> Held {
        let socket = self.dir.path().display().to_string();
        let mut psql = self.psql(&socket, SUPERUSER, "postgres");
        let mut process = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(process.stdin.as_mut().unwrap(), "{statements};\n\\echo held").unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Held(process)
    }

    /// Whether a client of PostgreSQL's own can log in, over TCP.
    pub(crate) fn lets_in(&self, role: &str, password: &str) -> bool {
        let mut psql = self.psql("127.0.0.1", role, "postgres");
        psql.env("PGPASSWORD", password).args(["--command", "SELECT 1"]);
        let output = psql.output().expect(SET_UP);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("password authentication failed"), "{said}");
        output.status.success()
    }

    /// All that the server logged since its first start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(log(&self.dir)).unwrap()
    }

    /// Waits until all that this primary has done is done by `standby`.
    pub(crate) fn wait_for(&self, standby: &Server) {
        let position = self.sql("SELECT pg_current_wal_lsn()");
        let replayed = format!("SELECT coalesce(pg_last_wal_replay_lsn() >= '{position}', false)");
        let followed = wait_until(|| standby.sql(&replayed) == "t");
        assert!(followed, "the standby doesn't follow: {}", standby.log());
    }

    fn psql(&self, host: &str, role: &str, database: &str) -> Command {
        let mut psql = program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password"]);
        psql.args(["--set", "ON_ERROR_STOP=1", "--host", host, "--port", &self.port.to_string()]);
        psql.args(["--username", role, "--dbname", database]);
        psql
    }
}

/// An open session.
pub(crate) struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An identifier as SQL has it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn launch(dir: TempDir, template: Arc<TempDir>) -> Server {
    for _ in 0..START_ATTEMPTS {
        let port = free_port();
        let mut process = spawn(&dir, port);
        if is_up(&dir, &mut process) {
            return Server { port, process: Some(process), dir, template };
        }
        end(process);
    }
    panic!("PostgreSQL didn't start: {}", fs::read_to_string(log(&dir)).unwrap());
}

fn spawn(dir: &TempDir, port: u16) -> Child {
    let place = format!("port = {port}\nunix_socket_directories = '{}'\n", dir.path().display());
    append(&data(dir).join("postgresql.conf"), &place);
    // Otherwise that of a server that was killed would be taken for this one's.
    let _ = fs::remove_file(data(dir).join("postmaster.pid"));
    let log = fs::File::options().create(true).append(true).open(log(dir)).unwrap();
    let mut command = unprivileged("sh");
    command.args(["-c", RUN, PROGRAMS]).arg(data(dir));
    command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

/// Closes its input and waits until it is gone.
fn end(mut process: Child) {
    drop(process.stdin.take());
    let _ = process.wait();
}

/// The eighth line of this file says how far the start has come.
fn is_up(dir: &TempDir, process: &mut Child) -> bool {
    let is_ready = || {
        let state = fs::read_to_string(data(dir).join("postmaster.pid")).unwrap_or_default();
        matches!(state.lines().nth(7).map(str::trim), Some("ready" | "standby"))
    };
    wait_until(|| is_ready() || process.try_wait().unwrap().is_some()) && is_ready()
}

/// Whether it came true in time. Blocks.
#[expect(clippy::disallowed_methods, reason = "also for tests without a runtime")]
fn wait_until(mut is_true: impl FnMut() -> bool) -> bool {
    (0..START_LOOKS_MAX).any(|_| {
        let so = is_true();
        if !so {
            std::thread::sleep(LOOK_INTERVAL);
        }
        so
    })
}

/// `initdb` is slow, and done once in a process as long as there is a server. A static of its own would leave the folder
/// behind.
fn shared_template() -> Arc<TempDir> {
    static TEMPLATE: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut shared = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let made = Arc::new(template());
        *shared = Arc::downgrade(&made);
        made
    })
}

fn copy_of(template: &TempDir) -> TempDir {
    let dir = empty_dir();
    let mut copy = unprivileged("cp");
    copy.arg("-R").arg(data(template)).arg(data(&dir));
    run(copy);
    dir
}

fn template() -> TempDir {
    assert!(Path::new(PROGRAMS).is_dir(), "{SET_UP}");
    let dir = empty_dir();
    let password = dir.path().join("password");
    write_own(&password, SUPERUSER_PASSWORD);
    let mut initdb = program("initdb");
    initdb.args([
        "--username",
        SUPERUSER,
        "--no-sync",
        "--no-locale",
        "--encoding",
        "UTF8",
        "--no-instructions",
    ]);
    initdb.arg("--pwfile").arg(&password).args(["--auth", "scram-sha-256", "--pgdata"]).arg(data(&dir));
    run(initdb);
    append(&data(&dir).join("postgresql.conf"), SETTINGS);
    fs::write(data(&dir).join("pg_hba.conf"), HBA).unwrap();
    dir
}

fn enable_tls(data: &Path, identity: &Identity<'_>) {
    write_own(&data.join("server.crt"), identity.certificate);
    write_own(&data.join("server.key"), identity.key);
    append(&data.join("postgresql.conf"), "ssl = on\n");
}

/// For the user that the servers run as.
fn empty_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    if is_root() {
        chown(dir.path(), Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID)).unwrap();
    }
    dir
}

fn data(dir: &TempDir) -> PathBuf {
    dir.path().join("data")
}

fn log(dir: &TempDir) -> PathBuf {
    dir.path().join("log")
}

fn append(file: &Path, text: &str) {
    let was = fs::read_to_string(file).unwrap();
    fs::write(file, format!("{was}{text}\n")).unwrap();
}

/// A file of the servers' user, and for nobody else.
fn write_own(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        chown(file, Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID)).unwrap();
    }
}

fn program(name: &str) -> Command {
    unprivileged(Path::new(PROGRAMS).join(name))
}

/// As the user that the servers run as, in a folder that this user may be in.
fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
    if is_root() {
        command.uid(UNPRIVILEGED_ID).gid(UNPRIVILEGED_ID);
    }
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect(SET_UP);
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap().trim_end().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
