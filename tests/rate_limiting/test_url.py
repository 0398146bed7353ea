"""Redis URLs."""

import pytest

from keywright.rate_limiting.url import RedisUrl, read


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://redis.acme.example", RedisUrl(host="redis.acme.example")),
        ("redis://127.0.0.1:6380/", RedisUrl(host="127.0.0.1", port=6380)),
        ("redis://[::1]/15", RedisUrl(host="::1", database=15)),
        ("redis://:p%40ss%2Fw@r:1/2", RedisUrl(host="r", port=1, password="p@ss/w", database=2)),
        ("rediss://me:secret@r", RedisUrl(host="r", tls=True, username="me", password="secret")),
        ("rediss://r?ssl_ca_certs=/etc/a%20b.pem", RedisUrl(host="r", tls=True, ca_file="/etc/a b.pem")),
        ("unix:///run/redis.sock", RedisUrl(socket_path="/run/redis.sock")),
        ("unix://:secret@/run/r.sock?db=3", RedisUrl(socket_path="/run/r.sock", password="secret", database=3)),
    ],
)
def test_places(url: str, place: RedisUrl) -> None:
    """A URL says where Redis is, how to log in and which database to use."""
    assert read(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "hunter22",
        "http://:hunter22@r",
        "redis://",
        "redis:///0",
        "redis://:hunter22@a..b",
        "redis://:hunter22@r:port",
        "redis://:hunter22@r:99999",
        "redis://:hunter22@r/zero",
        "redis://:hunter22@r/1/2",
        "redis://hunter22@r",
        "redis://:hunter#22@r",
        "redis://:hunter[22@r",
        "redis://:hunter22@r?ssl_ca_certs=/x",
        "rediss://:hunter22@r?ssl_cert_reqs=none",
        "redis://:hunter22@r?db",
        "unix://:hunter22@r/run/redis.sock",
        "unix://:hunter22@/",
        "unix://:hunter22@/run/redis.sock?db=x",
    ],
)
def test_refused(url: str) -> None:
    """A malformed URL is refused, and the error quotes nothing of it."""
    with pytest.raises(ValueError, match=r"^(must|cannot|names|has) ") as refusal:
        read(url)
    assert "hunter" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_passwords_are_not_shown() -> None:
    """Neither the password nor the user is in what is printed of a place."""
    assert "secret" not in repr(read("redis://secretive:secret@r"))


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:hunter22@one:26379,two:26379/primary",
        "redis-sentinel://:hunter22@one:26379",
        "rediss+cluster://:hunter22@one:6379",
        "redis://:hunter22@one,two",
    ],
)
def test_several_servers(url: str) -> None:
    """Sentinel and clusters are refused by their names, with what to write instead, and quoted never."""
    with pytest.raises(ValueError, match="one primary, or of a proxy") as refusal:
        read(url)
    assert "hunter22" not in str(refusal.value)
