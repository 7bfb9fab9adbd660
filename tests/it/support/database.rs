//! Databases for tests. Each test has its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use billables::billable::Timestamp;
use billables::store::{LogInfo, Store};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqlSafeStr, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use super::server::{command, run};

/// A new, empty database. An SQLite file is deleted when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    url: String,
    _directory: Option<Arc<TempDir>>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!(
            "sqlite://{}",
            directory.path().join("billables.db").display()
        );
        Self {
            url,
            _directory: Some(Arc::new(directory)),
        }
    }

    /// A new database on the cluster that `scripts/test` started.
    pub(crate) async fn postgres() -> Self {
        let cluster = std::env::var("BILLABLES_TEST_POSTGRES")
            .expect("no PostgreSQL to test with: run scripts/test, which starts one");
        Self::created_on(&cluster, "").await
    }

    /// A new database on the given cluster; `options` are added to `create database`.
    pub(crate) async fn created_on(cluster: &str, options: &str) -> Self {
        Self::created(cluster, &format!("template template0 {options}")).await
    }

    async fn created(cluster: &str, options: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut connection = PgConnection::connect(cluster).await.unwrap();
        let statement = format!("create database {name} {options}");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
        let url = cluster.replace("/postgres?", &format!("/{name}?"));
        Self {
            url,
            _directory: None,
        }
    }

    /// Copies the database in its current state. On PostgreSQL, nothing may be connected to the
    /// source.
    pub(crate) async fn copied(&self) -> Self {
        if self.is_postgres() {
            let (server, socket) = self.url.split_once('?').unwrap();
            let (server, name) = server.rsplit_once('/').unwrap();
            let cluster = format!("{server}/postgres?{socket}");
            return Self::created(&cluster, &format!("template {name}")).await;
        }
        let copy = Self::sqlite();
        let statement = format!("vacuum into '{}'", copy.file().display());
        self.execute_owned(statement).await;
        copy
    }

    /// The file of an SQLite database.
    pub(crate) fn file(&self) -> &Path {
        Path::new(self.url.strip_prefix("sqlite://").unwrap())
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same database under another URL.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// Creates the log by the command, as before commands that need one.
    pub(crate) fn migrate(&self) {
        let (code, _, errors) = run(&mut command(self, &["migrate"]));
        assert_eq!(code, 0, "{errors}");
    }

    /// Like [`Self::migrate`], for a new database.
    pub(crate) fn migrated(self) -> Self {
        self.migrate();
        self
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres:")
    }

    /// The store, migrated, with a log of one partition.
    pub(crate) async fn store(&self) -> (Store, LogInfo) {
        self.store_with(1).await
    }

    pub(crate) async fn store_with(&self, partitions: u32) -> (Store, LogInfo) {
        let store = Store::open(&self.url, 2).await.unwrap();
        store.migrate().await.unwrap();
        let log = store
            .log_prepare(Some(partitions), Timestamp::now())
            .await
            .unwrap();
        (store, log)
    }

    /// Runs statements directly on the database, bypassing the program.
    pub(crate) async fn execute(&self, sql: &'static str) {
        self.execute_owned(sql.to_owned()).await;
    }

    /// Like [`Self::execute`], for statements that are built at run time.
    pub(crate) async fn execute_owned(&self, sql: String) {
        let sql = AssertSqlSafe(sql);
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// Runs a query that returns a number, bypassing the program.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .unwrap()
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .unwrap()
        }
    }

    /// Reads the (partition, position, id) of every entry, in this order, bypassing the program.
    pub(crate) async fn entries(&self) -> Vec<(i32, i64, Uuid)> {
        let sql =
            "select partition, position, billable_id from entries order by partition, position";
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_as(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap()
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_as(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap()
        }
    }

    /// The entries after a position in each partition, from one query, in the same order.
    pub(crate) async fn entries_after(&self, after: &HashMap<i32, i64>) -> Vec<(i32, i64, Uuid)> {
        let entries = self.entries().await.into_iter();
        entries
            .filter(|(partition, position, _)| *position > after[partition])
            .collect()
    }

    /// Locks the log's head, like a writer in another process, until the lock is dropped.
    pub(crate) async fn lock_log(&self) -> Lock {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql("begin; select 1 from log_heads for update")
                .execute(&mut connection)
                .await
                .unwrap();
            Lock::Postgres(connection)
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql("begin immediate")
                .execute(&mut connection)
                .await
                .unwrap();
            Lock::Sqlite(connection)
        }
    }

    /// Blocks every read of the tokens until the lock is dropped. PostgreSQL only.
    pub(crate) async fn lock_tokens(&self) -> Lock {
        self.lock_with("begin; lock table tokens").await
    }

    /// Blocks every write of sessions until the lock is dropped. PostgreSQL only.
    pub(crate) async fn lock_sessions(&self) -> Lock {
        self.lock_with("begin; lock table sessions in share mode")
            .await
    }

    /// Runs `sql`, which begins a transaction; it lasts until the lock is dropped. PostgreSQL only.
    pub(crate) async fn lock_with(&self, sql: &'static str) -> Lock {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        Lock::Postgres(connection)
    }

    /// Makes the next append of a running server fail; the server then reconnects.
    pub(crate) async fn break_writer(&self) {
        if self.is_postgres() {
            self.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
            )
            .await;
        } else {
            // The writer's statements no longer match the schema.
            self.execute("alter table log_heads rename to heads").await;
        }
    }

    /// Returns when a writer waits for the lock on the log's head. SQLite does not show waiting
    /// writers, so there it returns immediately.
    pub(crate) async fn until_waiting_for_lock(&self) {
        if !self.is_postgres() {
            return;
        }
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let sql = "select exists (select 1 from pg_locks join pg_stat_activity using (pid)
                   where datname = current_database() and not granted)";
        while !sqlx::query_scalar::<_, bool>(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap()
        {}
    }

    /// Migrates like an older program, up to and including this migration.
    pub(crate) async fn migrate_to(&self, version: i64) {
        self.migrate_with(Migrator::new(self.migrations_of()).await.unwrap(), version)
            .await;
    }

    /// Migrates like a newer program, with these statements as additional migrations.
    pub(crate) async fn migrate_as_newer(&self, statements: &[&'static str]) {
        let known = Migrator::new(self.migrations_of()).await.unwrap();
        let mut migrations: Vec<_> = known.iter().cloned().collect();
        for (version, statement) in (9001..).zip(statements) {
            let sql = statement.into_sql_str();
            migrations.push(Migration::new(
                version,
                "newer".into(),
                MigrationType::Simple,
                sql,
                false,
            ));
        }
        self.migrate_with(Migrator::with_migrations(migrations), i64::MAX)
            .await;
    }

    async fn migrate_with(&self, migrator: Migrator, version: i64) {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            migrator.run_to(version, &mut connection).await.unwrap();
        } else {
            let options = SqliteConnectOptions::new().filename(self.file());
            let mut connection = options.create_if_missing(true).connect().await.unwrap();
            migrator.run_to(version, &mut connection).await.unwrap();
        }
    }

    /// The number of the last migration of this program.
    pub(crate) fn last_migration() -> i64 {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(root.join("migrations/sqlite")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.map(|name| name[..4].parse().unwrap()).max().unwrap()
    }

    fn migrations_of(&self) -> PathBuf {
        let dialect = if self.is_postgres() {
            "postgres"
        } else {
            "sqlite"
        };
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(dialect)
    }

    /// The number of the last migration that has run.
    pub(crate) async fn migrated_to(&self) -> i64 {
        self.count("select max(version) from _sqlx_migrations where success")
            .await
    }

    /// The ids of every entry.
    pub(crate) async fn ids(&self) -> Vec<Uuid> {
        self.entries()
            .await
            .into_iter()
            .map(|(_, _, id)| id)
            .collect()
    }
}

/// A connection with an open transaction that holds a lock.
#[derive(Debug)]
#[expect(dead_code, reason = "dropping the connection releases the lock")]
pub(crate) enum Lock {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A PostgreSQL cluster for a single test, which may stop and start it.
#[derive(Debug)]
pub(crate) struct Cluster {
    directory: PathBuf,
    _parent: TempDir,
}

impl Cluster {
    /// Starts a cluster with these settings.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let parent = tempfile::Builder::new()
            .prefix("billables-pg")
            .tempdir_in("/tmp")
            .unwrap();
        // PostgreSQL may run as another user, which needs access to this directory.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(parent.path(), permissions).unwrap();
        let cluster = Self {
            directory: parent.path().join("pg"),
            _parent: parent,
        };
        cluster.restart(settings);
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost/postgres?host={}",
            self.directory.display()
        )
    }

    pub(crate) fn restart(&self, settings: &[&str]) {
        let directory = self.directory.to_str().unwrap();
        assert!(
            script(&[&["start", directory], settings].concat()),
            "the cluster does not start"
        );
    }

    /// The log of the PostgreSQL server.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.join("log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Stops the cluster without a checkpoint, as a crash would.
    pub(crate) fn stop(&self) {
        assert!(self.try_stop(), "the cluster does not stop");
    }

    /// Makes it a standby at its next start.
    pub(crate) fn make_standby(&self) {
        std::fs::write(self.directory.join("data/standby.signal"), "").unwrap();
    }

    fn try_stop(&self) -> bool {
        script(&["stop", self.directory.to_str().unwrap(), "immediate"])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The test may have stopped it already.
        self.try_stop();
    }
}

fn script(arguments: &[&str]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
    let status = Command::new(script)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}
