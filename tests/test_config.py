"""The settings: what each may be, and the sentence that stops the start."""

import os
from pathlib import Path

import pytest

from keywright import config
from keywright.config import Settings, SettingsError
from keywright.config_values import secret_names
from keywright.keys.addresses import network_texts
from keywright.service.principal import OrganizationFormat, PermissionPolicy

NEEDED = {"KEYWRIGHT_AUTH0_DOMAIN": "acme.eu.auth0.com", "KEYWRIGHT_AUDIENCE": "https://api.acme.example/"}


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with nothing but what is needed."""
    for name in [name for name in os.environ if name.upper().startswith("KEYWRIGHT_")]:
        monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def sentence() -> str:
    with pytest.raises(SettingsError) as caught:
        config.load()
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_two_variables_are_enough(env: pytest.MonkeyPatch) -> None:
    """A real tenant needs its domain and the audience; everything else has a default fit for production."""
    settings = config.load()
    assert settings.issuer == "https://acme.eu.auth0.com/"
    assert settings.audience == "https://api.acme.example/"
    assert settings.host == "127.0.0.1"
    assert settings.environments[0] == "live"
    assert settings.permissions is PermissionPolicy.AUTO
    assert settings.cors_origins == ()
    assert settings.proxy_networks == ()


def test_the_case_of_a_name_does_not_matter(env: pytest.MonkeyPatch) -> None:
    """Variables are found however they are written, and none but those with the prefix."""
    env.setenv("keywright_Port", "9")
    env.setenv("WORKERS", "9")
    settings = config.load()
    assert (settings.port, settings.workers) == (9, 1)


def test_settings_are_frozen(env: pytest.MonkeyPatch) -> None:
    """Settings cannot be changed while the service runs."""
    with pytest.raises(ValueError, match="frozen"):
        config.load().port = 1  # type: ignore[misc]


def test_database_url_is_not_shown(env: pytest.MonkeyPatch) -> None:
    """The database's password appears in no printed form of the settings."""
    env.setenv("KEYWRIGHT_DATABASE_URL", "postgresql://me:hunter22@db/keys")
    settings = config.load()
    assert "hunter22" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.database_url.get_secret_value() == "postgresql://me:hunter22@db/keys"


def test_redis_url(env: pytest.MonkeyPatch) -> None:
    """Redis's password appears in no printed form of the settings; an empty URL is none, and so is none at all."""
    assert config.load().redis_url is None
    env.setenv("KEYWRIGHT_REDIS_URL", "")
    assert config.load().redis_url is None
    env.setenv("KEYWRIGHT_REDIS_URL", "rediss://:hunter22@redis/1")
    settings = config.load()
    assert "hunter22" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "rediss://:hunter22@redis/1"


def test_bad_redis_url(env: pytest.MonkeyPatch) -> None:
    """A malformed Redis URL stops the start, and no part of it is shown."""
    env.setenv("KEYWRIGHT_REDIS_URL", "http://:hunter22@redis/1")
    assert sentence() == "KEYWRIGHT_REDIS_URL: must begin with redis://, rediss:// or unix://."
    env.setenv("KEYWRIGHT_REDIS_URL", "redis://:hunter22@redis/keys")
    assert sentence() == "KEYWRIGHT_REDIS_URL: must name a database by its number, as in redis://host/0."


def test_lists_are_separated_by_commas(env: pytest.MonkeyPatch) -> None:
    """Spaces around the parts of a list do not matter."""
    env.setenv("KEYWRIGHT_ENVIRONMENTS", "live, sandbox ,ci")
    env.setenv("KEYWRIGHT_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    settings = config.load()
    assert settings.environments == ("live", "sandbox", "ci")
    assert network_texts(settings.proxy_networks) == ("10.0.0.0/8", "::1/128")


def test_what_keys_may_be(env: pytest.MonkeyPatch) -> None:
    """The rules for keys are read as they are written; scopes keep their order and their meaning."""
    env.setenv("KEYWRIGHT_MAX_LIFE_DAYS", "90")
    env.setenv("KEYWRIGHT_REQUIRE_EXPIRY", "true")
    env.setenv("KEYWRIGHT_MAX_ACTIVE_KEYS", "20")
    env.setenv("KEYWRIGHT_SCOPES", " reports:write = Change reports; reports:read=Read, look at;bills:read; ")
    settings = config.load()
    assert (settings.max_life_days, settings.require_expiry, settings.max_active_keys) == (90, True, 20)
    assert list((settings.scopes or {}).items()) == [
        ("reports:write", "Change reports"),
        ("reports:read", "Read, look at"),
        ("bills:read", ""),
    ]


@pytest.mark.parametrize("name", ["MAX_LIFE_DAYS", "MAX_ACTIVE_KEYS", "SCOPES", "GRANTABLE_SCOPES_CLAIM"])
def test_set_to_nothing(env: pytest.MonkeyPatch, name: str) -> None:
    """A rule that is set to nothing is none, as when it is not set."""
    env.setenv(f"KEYWRIGHT_{name}", "")
    assert getattr(config.load(), name.lower()) is None


def test_organizations(env: pytest.MonkeyPatch) -> None:
    """Organization claims of any form are accepted, unless they must be UUIDs; that this was chosen is known."""
    assert (config.load().org_claim_format, config.load().trusts_org_ids) == (OrganizationFormat.AUTO, False)
    for name in OrganizationFormat:
        env.setenv("KEYWRIGHT_ORG_CLAIM_FORMAT", name.value)
        assert (config.load().org_claim_format, config.load().trusts_org_ids) == (name, True)
        assert config.load_database().trusts_org_ids
    env.setenv("KEYWRIGHT_ORG_CLAIM_FORMAT", "any")
    assert sentence().startswith("KEYWRIGHT_ORG_CLAIM_FORMAT: ")


def test_grantable_scopes(env: pytest.MonkeyPatch) -> None:
    """Without a claim for grantable scopes a token may give any."""
    assert config.load().grantable_scopes_claim is None
    env.setenv("KEYWRIGHT_GRANTABLE_SCOPES_CLAIM", "https://acme.example/scopes")
    assert config.load().grantable_scopes_claim == "https://acme.example/scopes"


def test_scopes_from_code(env: pytest.MonkeyPatch) -> None:
    """Code that starts the service may pass the scopes as a mapping."""
    assert config.load(scopes={"reports:read": "Read reports"}).scopes == {"reports:read": "Read reports"}


def test_overrides_go_before_the_environment(env: pytest.MonkeyPatch) -> None:
    """Options of the command line win, and are checked, too."""
    env.setenv("KEYWRIGHT_PORT", "1")
    assert config.load(port=2).port == 2
    with pytest.raises(SettingsError, match="KEYWRIGHT_WORKERS"):
        config.load(workers=0)


@pytest.mark.parametrize(
    "issuer", ["https://id.acme.example/", "https://id.acme.example/realms/a", "http://127.0.0.1:9/"]
)
def test_issuer_of_another_provider(env: pytest.MonkeyPatch, issuer: str) -> None:
    """Any https issuer is taken exactly as it is; http only on loopback."""
    env.delenv("KEYWRIGHT_AUTH0_DOMAIN")
    env.setenv("KEYWRIGHT_ISSUER", issuer)
    assert config.load().issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "acme.eu.auth0.com",
        "http://id.acme.example/",
        "https://id.acme.example/?x=1",
        "https://id.acme.example/#x",
        "https://me@id.acme.example/",
        "https://id.acme.example/ ",
        "https://",
        "https://[::1",
        "https://id.acme.example:port/",
        "ftp://id.acme.example/",
    ],
)
def test_unacceptable_issuer(env: pytest.MonkeyPatch, issuer: str) -> None:
    """An issuer that could be read in two ways, or whose keys could be replaced on the way, stops the start."""
    env.delenv("KEYWRIGHT_AUTH0_DOMAIN")
    env.setenv("KEYWRIGHT_ISSUER", issuer)
    assert sentence() == (
        "KEYWRIGHT_ISSUER must be an https:// URL without query or fragment (http:// only on a loopback host)."
    )


def test_no_issuer(env: pytest.MonkeyPatch) -> None:
    """Without an issuer nothing can be trusted."""
    env.delenv("KEYWRIGHT_AUTH0_DOMAIN")
    assert sentence() == "KEYWRIGHT_AUTH0_DOMAIN is required, unless KEYWRIGHT_ISSUER is set."


def test_an_empty_domain_is_none(env: pytest.MonkeyPatch) -> None:
    """A deployment that sets every variable sets the domain of Auth0 to an empty text where it has another issuer."""
    env.setenv("KEYWRIGHT_AUTH0_DOMAIN", "")
    env.setenv("KEYWRIGHT_ISSUER", "https://id.acme.example/")
    assert config.load().issuer == "https://id.acme.example/"


def test_two_issuers(env: pytest.MonkeyPatch) -> None:
    """Auth0's domain and an issuer together are refused."""
    env.setenv("KEYWRIGHT_ISSUER", "https://id.acme.example/")
    assert sentence() == "KEYWRIGHT_AUTH0_DOMAIN and KEYWRIGHT_ISSUER are both set; set one of them."


def test_no_audience(env: pytest.MonkeyPatch) -> None:
    """A missing audience is named, and what it is."""
    env.delenv("KEYWRIGHT_AUDIENCE")
    assert sentence() == "KEYWRIGHT_AUDIENCE is required: the identifier of your API in Auth0."


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AUTH0_DOMAIN", "https://acme.eu.auth0.com/", "without https:// and without a path"),
        ("AUTH0_DOMAIN", "acme", "must be a bare domain"),
        ("AUDIENCE", "", "at least 1 character"),
        ("ORG_CLAIM", "", "at least 1 character"),
        ("PERMISSIONS", "sometimes", "'auto' or 'enforce'"),
        ("ENVIRONMENTS", "", "must be different names"),
        ("ENVIRONMENTS", "live,live", "must be different names"),
        ("ENVIRONMENTS", "live,Sand box", "a-z and 0-9"),
        ("MAX_LIFE_DAYS", "0", "greater than or equal to 1"),
        ("MAX_LIFE_DAYS", "36501", "less than or equal to 36500"),
        ("MAX_LIFE_DAYS", "a month", "integer"),
        ("REQUIRE_EXPIRY", "perhaps", "boolean"),
        ("MAX_ACTIVE_KEYS", "0", "greater than or equal to 1"),
        ("MAX_ACTIVE_KEYS", "many", "integer"),
        ("SCOPES", "reports", "reports:read=Read reports"),
        ("SCOPES", "reports:*=Everything", "different scopes"),
        ("SCOPES", "bills:read=Read, bills:write=Write", "separated by semicolons"),
        ("SCOPES", "bills:read=Read; bills:read=Again", "different scopes"),
        ("SCOPES", f"bills:read={'a' * 256}", "at most 255 characters"),
        ("SCOPES", "bills:read=\u202eRead", "that can be seen"),
        ("KEY_BRAND", "Acme", "1 to 12 characters"),
        ("KEY_BRAND", "a" * 13, "1 to 12 characters"),
        ("CACHE_MIB", "0", "greater than or equal to 1"),
        ("PUBLIC_URL", "keys.acme.example", "an address such as https://keys.acme.example"),
        ("PUBLIC_URL", "https://keys.acme.example/?a", "without a query"),
        ("HOST", "", "at least 1 character"),
        ("PORT", "65536", "65535"),
        ("PORT", "tcp://10.0.0.1:8080", "enableServiceLinks: false"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("WORKERS", "many", "integer"),
        ("CORS_ORIGINS", "*", "without a path or a star"),
        ("CORS_ORIGINS", "https://a.example/path", "without a path or a star"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "addresses or networks"),
        ("TRUSTED_PROXIES", "10.1.0.0/8", "addresses or networks"),
        ("FORWARD_AUTH_FROM", "10.0.0.0/33", "addresses or networks"),
        ("FORWARD_AUTH_FROM", "gateway", "addresses or networks"),
        ("METRICS", "9464", "host:port with a port up to 65535, path or off"),
        ("METRICS", "127.0.0.1:65536", "a port up to 65535"),
        ("METRICS", "[::1]:99999", "a port up to 65535"),
        ("METRICS", "127.0.0.1:٩٤٦٤", "host:port"),
        ("FORWARD_AUTH", "perhaps", "'verifier', 'open' or 'off'"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("SHUTDOWN_SECONDS", "0", "greater than or equal to 1"),
    ],
)
def test_bad_value(env: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    """A value that is not allowed stops the start with one sentence that names the variable and quotes no value."""
    env.setenv(f"KEYWRIGHT_{name}", value)
    found = sentence()
    assert found.startswith(f"KEYWRIGHT_{name}: ")
    assert expected in found
    if len(value) > 4 and value not in expected:
        assert value not in found


@pytest.mark.parametrize(("given", "missing"), [("CERTIFICATE", "KEY"), ("KEY", "CERTIFICATE")])
def test_a_certificate_and_its_key(env: pytest.MonkeyPatch, given: str, missing: str) -> None:
    """Certificate and key are set together, or neither; an empty path is none."""
    assert config.load().tls_files is None
    env.setenv(f"KEYWRIGHT_TLS_{given}", "/run/tls.pem")
    env.setenv(f"KEYWRIGHT_TLS_{missing}", "")
    assert sentence() == f"KEYWRIGHT_TLS_{missing} is required with KEYWRIGHT_TLS_{given}."
    env.setenv(f"KEYWRIGHT_TLS_{missing}", "/run/tls.pem")
    assert config.load().tls_files == ("/run/tls.pem", "/run/tls.pem")
    env.setenv("KEYWRIGHT_TLS_CERTIFICATE", "")
    env.setenv("KEYWRIGHT_TLS_KEY", "")
    assert config.load().tls_files is None


def test_proxies_that_need_no_credential(env: pytest.MonkeyPatch) -> None:
    """Proxies may be known by their networks, too; where nobody needs a credential, or nobody may call, not."""
    env.setenv("KEYWRIGHT_FORWARD_AUTH_FROM", "10.0.0.0/8, ::ffff:192.0.2.1")
    assert network_texts(config.load().forward_auth_networks) == ("10.0.0.0/8", "192.0.2.1/32")
    for other in ("open", "off"):
        env.setenv("KEYWRIGHT_FORWARD_AUTH", other)
        expected = f"KEYWRIGHT_FORWARD_AUTH_FROM has no effect with KEYWRIGHT_FORWARD_AUTH={other}; set one of them."
        assert sentence() == expected


@pytest.mark.parametrize("name", ["AUDIENCE", "TLS_KEY", "PORT"])
def test_a_file_for_what_is_no_secret(env: pytest.MonkeyPatch, name: str) -> None:
    """Only secrets come from files; a file for another setting would be ignored, so it is refused."""
    env.setenv(f"KEYWRIGHT_{name}_FILE", "/run/secrets/value")
    assert sentence() == (
        f"KEYWRIGHT_{name}_FILE is no setting, because KEYWRIGHT_{name} is no secret; set KEYWRIGHT_{name}."
    )


@pytest.mark.parametrize(
    "value", ["off", "path", "127.0.0.1:0", "127.0.0.1:65535", "[::1]:9464", "metrics.acme.example:9464"]
)
def test_places_of_metrics(env: pytest.MonkeyPatch, value: str) -> None:
    """Metrics may be switched off, share the API's port, or have any address that can be listened on."""
    env.setenv("KEYWRIGHT_METRICS", value.upper())
    assert config.load().metrics == value


@pytest.mark.parametrize("old", ["KEYWRIGHT_CACHED_KEYS", "keywright_known_keys"])
def test_old_names(env: pytest.MonkeyPatch, old: str) -> None:
    """A setting that counts another thing under a new name is refused with that name; it concerns the service alone."""
    env.setenv(old, "200000")
    assert sentence() == f"{old.upper()} is now KEYWRIGHT_CACHE_MIB, which counts MiB of memory and not keys."
    config.load_database()


def test_the_database_alone(env: pytest.MonkeyPatch) -> None:
    """A command on the database reads its settings alone: no issuer is needed, and no other setting is judged."""
    for name in ("AUTH0_DOMAIN", "ISSUER", "AUDIENCE"):
        env.delenv(f"KEYWRIGHT_{name}", raising=False)
    env.setenv("KEYWRIGHT_DATABASE_URL", "sqlite:///other.db")
    env.setenv("KEYWRIGHT_KEY_BRAND", "acme")
    env.setenv("KEYWRIGHT_PORT", "http")
    settings = config.load_database()
    assert (settings.database_url.get_secret_value(), settings.key_brand) == ("sqlite:///other.db", "acme")


def test_the_database_alone_is_judged(env: pytest.MonkeyPatch) -> None:
    """A wrong setting of the database is an error that names it."""
    env.setenv("KEYWRIGHT_KEY_BRAND", "ACME")
    with pytest.raises(SettingsError, match=r"^KEYWRIGHT_KEY_BRAND: must be 1 to 12 characters"):
        config.load_database()


def test_every_field_is_described() -> None:
    """The reference page has something to say on every setting."""
    assert all(field.description for field in Settings.model_fields.values())


def test_how_long_rows_are_kept(env: pytest.MonkeyPatch) -> None:
    """Every kind of rows has an age by default; 0 is for ever."""
    settings = config.load()
    assert (settings.keep_events_days, settings.keep_usage_days, settings.keep_sources_days) == (400, 90, 90)
    assert (settings.keep_receipts_days, settings.keep_sessions_days) == (90, 90)
    for name in ("EVENTS", "USAGE", "SOURCES", "RECEIPTS", "SESSIONS"):
        env.setenv(f"KEYWRIGHT_KEEP_{name}_DAYS", "0")
    assert config.load().keep_events_days == 0


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"EVENTS": "29"}, "KEYWRIGHT_KEEP_EVENTS_DAYS"),
        ({"EVENTS": "-1"}, "KEYWRIGHT_KEEP_EVENTS_DAYS"),
        ({"SESSIONS": "89"}, "KEYWRIGHT_KEEP_SESSIONS_DAYS"),
        ({"RECEIPTS": "0"}, "KEYWRIGHT_KEEP_SESSIONS_DAYS"),
    ],
)
def test_ages_that_do_not_fit(env: pytest.MonkeyPatch, values: dict[str, str], named: str) -> None:
    """Events of 30 days are kept whatever is set, and sessions at least as long as the receipts that name them."""
    for name, value in values.items():
        env.setenv(f"KEYWRIGHT_KEEP_{name}_DAYS", value)
    with pytest.raises(config.SettingsError, match=named):
        config.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://me:hunter22@db/keys"),
        ("REDIS_URL", "rediss://:hunter22@redis/1"),
        ("CONSOLE_CLIENT_SECRET", "hunter22-hunter22"),
    ],
)
def test_secret_from_a_file(env: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str) -> None:
    """Every secret can be read from a file that `…_FILE` names; the line end of the file is no part of it."""
    (tmp_path / "secret").write_text(f"{value}\n")
    env.setenv(f"KEYWRIGHT_{name}_FILE", str(tmp_path / "secret"))
    assert getattr(config.load(), name.lower()).get_secret_value() == value


def test_every_secret_can_be_a_file() -> None:
    """The secrets are those three; a new one is read from files without further code."""
    assert secret_names(Settings) == {"database_url", "redis_url", "console_client_secret"}


@pytest.mark.parametrize(
    ("content", "flaw"),
    [(None, "the file cannot be read"), (b"", "the file is empty"), (b"\n", "the file is empty"),
     (b"\xff", "the file cannot be read"), (b"x" * 70_000, "the file is too large for a secret")],
)  # fmt: skip
def test_unusable_file(env: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, flaw: str) -> None:
    """A file that cannot be the source of a secret stops the start; the sentence names the setting, not the path."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    env.setenv("KEYWRIGHT_DATABASE_URL_FILE", str(path))
    assert sentence() == f"KEYWRIGHT_DATABASE_URL_FILE: {flaw}."


def test_secret_and_file(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret that is set twice is refused: one of the two would have no effect."""
    env.setenv("KEYWRIGHT_REDIS_URL", "redis://here")
    env.setenv("KEYWRIGHT_REDIS_URL_FILE", str(tmp_path / "secret"))
    assert sentence() == "KEYWRIGHT_REDIS_URL and KEYWRIGHT_REDIS_URL_FILE are both set; set one of them."


CONSOLE = {
    "KEYWRIGHT_CONSOLE_CLIENT_ID": "console",
    "KEYWRIGHT_CONSOLE_CLIENT_SECRET": "s" * 16,
    "KEYWRIGHT_PUBLIC_URL": "https://keys.acme.example",
}


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("KEYWRIGHT_CONSOLE_CLIENT_SECRET", "", "KEYWRIGHT_CONSOLE_CLIENT_SECRET is required"),
        ("KEYWRIGHT_CONSOLE_CLIENT_SECRET", "s" * 15, "KEYWRIGHT_CONSOLE_CLIENT_SECRET: must have at least 16"),
        ("KEYWRIGHT_PUBLIC_URL", "", "KEYWRIGHT_PUBLIC_URL is required"),
        ("KEYWRIGHT_PUBLIC_URL", "http://keys.acme.example", "KEYWRIGHT_PUBLIC_URL must be an https:// address"),
        ("KEYWRIGHT_PUBLIC_URL", "http://127.0.0.1:8080", "KEYWRIGHT_PUBLIC_URL must be an https:// address"),
        ("KEYWRIGHT_PUBLIC_URL", "https://acme.example/keys", "KEYWRIGHT_PUBLIC_URL must be an https:// address"),
    ],
)
def test_incomplete_console(env: pytest.MonkeyPatch, name: str, value: str, named: str) -> None:
    """A console without its secret or address, or where its cookies would not be secure, stops the start."""
    for each, good in CONSOLE.items():
        env.setenv(each, good)
    assert config.load().console_client_id == "console"
    env.setenv(name, value)
    assert sentence().startswith(named)


def test_plain_console_is_for_dev(env: pytest.MonkeyPatch) -> None:
    """Only the settings of `keywright dev` allow a console without TLS, and only on a loopback host."""
    for each, good in CONSOLE.items():
        env.setenv(each, good)
    assert config.load_dev(public_url="http://127.0.0.1:8080").public_url == "http://127.0.0.1:8080"
    with pytest.raises(SettingsError):
        config.load_dev(public_url="http://192.0.2.1:8080")
