"""Database URLs."""

from pathlib import Path

import pytest

from keywright.storage.url import Host, PostgresUrl, SqliteUrl, read


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///keywright.db", "keywright.db"),
        ("sqlite:///data/keywright.db", "data/keywright.db"),
        ("sqlite:////var/lib/keywright.db", "/var/lib/keywright.db"),
        ("sqlite:///a 100% #1 file.db", "a 100% #1 file.db"),
    ],
)
def test_sqlite(url: str, path: str) -> None:
    """Three slashes begin a relative path and four an absolute one, taken as it is written."""
    assert read(url) == SqliteUrl(Path(path))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
@pytest.mark.parametrize(
    "rest",
    [
        "me:secret@db.example:5433/keys",
        "me@[::1]:5432/keys",
        "db1:5432,db2:5432/keys",
        "postgres:@/keys?host=/run/postgresql",
        "/keys?host=/run/a%20folder",
        "me:p%40ss%3Aword@db/keys?sslmode=verify-full",
    ],
)
def test_postgresql(scheme: str, rest: str) -> None:
    """A PostgreSQL URL reaches the driver with the same meaning."""
    url = read(f"{scheme}://{rest}")
    assert isinstance(url, PostgresUrl)
    assert url.dsn.replace("%2F", "/") == f"{scheme}://{rest}"


def test_our_own_options() -> None:
    """The options that are ours are taken out of the URL, and the others stay."""
    url = read("postgresql://db/keys?pool_size=3&application_name=x&statement_cache_size=0")
    assert url == PostgresUrl(
        dsn="postgresql://db/keys?application_name=x",
        pool_size=3,
        statement_cache_size=0,
        names_application=True,
        is_remote=True,
    )


@pytest.mark.parametrize(
    ("rest", "hosts"),
    [
        ("me@db1:5433,db2/keys?target_session_attrs=read-write", [("db1", 5433), ("db2", None)]),
        ("db1,[fd00::1]:5433/keys?port=6000", [("db1", 6000), ("fd00::1", 5433)]),
        ("me:@/keys?host=/run/a,/run/b&port=1,2&target_session_attrs=primary", [("/run/a", 1), ("/run/b", 2)]),
        ("db1/keys?target_session_attrs=any", []),
        ("/keys?host=/run/postgresql", []),
    ],
)
def test_several_servers(rest: str, hosts: list[tuple[str, int | None]]) -> None:
    """Several hosts are tried one by one, each on its own port; the driver is not told whom to look for among them."""
    url = read(f"postgresql://{rest}")
    assert isinstance(url, PostgresUrl)
    assert url.hosts == tuple(Host(*host) for host in hosts)
    assert "target_session_attrs" not in url.dsn


@pytest.mark.parametrize(
    ("rest", "flaw"),
    [
        ("db1,db2/keys?target_session_attrs=prefer-standby", "a standby may lag behind"),
        ("db1,,db2/keys", "each has a name"),
        ("db1,db2/keys?port=1,2,3", "a port or all of them one"),
        ("db1,db2/keys?port=hunter22", "the port"),
        ("db1,db2/keys?port=65536", "the port"),
    ],
)
def test_several_servers_that_make_no_sense(rest: str, flaw: str) -> None:
    """A list of servers that cannot be read is refused, and so is the wish for one that may lag behind."""
    with pytest.raises(ValueError, match=flaw) as refusal:
        read(f"postgresql://me:hunter22@{rest}")
    assert "hunter22" not in str(refusal.value)


@pytest.mark.parametrize(
    ("rest", "remote"),
    [
        ("me:secret@db.example:5432/keys", True),
        ("10.0.0.7/keys", True),
        ("127.0.0.1,db.example/keys", True),
        ("[fd00::1]:5432/keys", True),
        ("localhost/keys", False),
        ("127.0.0.1:5432/keys", False),
        ("[::1]/keys", False),
        ("/keys?host=/var/run/postgresql", False),
        ("/keys?host=db.example", True),
    ],
)
def test_a_host_that_is_another_machine(rest: str, remote: bool) -> None:
    """A host is remote unless it is a loopback address or a socket; the mode of TLS is that of the URL."""
    for query, mode in (("", "prefer"), ("sslmode=verify-full", "verify-full")):
        url = read(f"postgresql://{rest}{'&' if '?' in rest else '?'}{query}" if query else f"postgresql://{rest}")
        assert isinstance(url, PostgresUrl)
        assert (url.is_remote, url.sslmode) == (remote, mode)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keywright.db",
        "/var/lib/keywright.db",
        "sqlite:keywright.db",
        "sqlite://keywright.db",
        "sqlite://host/keywright.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///keywright.db?mode=memory",
        "mysql://me:hunter22@db/keys",
        "postgresql+asyncpg://me:hunter22@db/keys",
        "postgresql://me:hunter22@db:port/keys",
        "postgresql://me:hunter22@db:99999/keys",
        "postgresql://me:hunter22@[::1/keys",
        "postgresql://me:hunter22@again@db/keys",
        "postgresql://me:hunter22#again@db/keys",
        "postgresql://me:hunter22?again@db/keys",
        "postgresql://me:hunter22/again@db/keys",
        "postgresql://me:hunter22@db/keys?sslmode",
        "postgresql://me:hunter22@db/keys?pool_size=0",
        "postgresql://me:hunter22@db/keys?pool_size=many",
        "postgresql://me:hunter22@db/keys?statement_cache_size=-1",
    ],
)
def test_malformed(url: str) -> None:
    """Anything else is refused in one sentence that quotes nothing, so that no password is in it."""
    with pytest.raises(ValueError, match=" ") as refusal:
        read(url)
    assert "hunter22" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_no_password_in_a_repr() -> None:
    """A URL that was read prints without its password."""
    assert "hunter22" not in repr(read("postgresql://me:hunter22@db/keys"))
