"""Settings: what a process may be told, and how it says no."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.errors import ConfigError
from connectors.settings import ENV_FILE, FIELDS, Settings, env_example, load, settings_page

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def desk(monkeypatch, tmp_path):
    """An empty directory and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in (*FIELDS, ENV_FILE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def refusal() -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load()
    assert caught.value.remedy
    return caught.value


def test_with_nothing_told_everything_is_local_and_on_paper():
    settings = load()

    assert settings.active_brokers == ("paper",)
    assert settings.kafka.bootstrap == "127.0.0.1:9092"
    assert settings.kafka.embedded is False
    assert settings.redis.url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.database.url.get_secret_value() == "sqlite:///.panda/panda.sqlite"
    assert settings.lake.path == ".panda/lake"
    assert (settings.api.host, settings.api.port) == ("127.0.0.1", 8000)
    assert (settings.log.level, settings.log.format) == ("INFO", "json")


def test_reading_settings_makes_no_directory(tmp_path):
    load()
    assert list(tmp_path.iterdir()) == []


def test_the_store_and_the_archive_move_with_the_data_directory(desk):
    desk.setenv("PANDA_DATA_DIR", "/srv/panda")
    settings = load()
    assert settings.database.url.get_secret_value() == "sqlite:////srv/panda/panda.sqlite"
    assert settings.lake.path == "/srv/panda/lake"


def test_the_archive_may_lie_elsewhere_than_the_data_directory(desk):
    desk.setenv("PANDA_DATA_DIR", "/srv/panda")
    desk.setenv("PANDA_LAKE__PATH", "/archive")
    assert load().lake.path == "/archive"


def test_the_environment_wins_over_the_env_file_and_strangers_in_the_file_are_no_matter(desk, tmp_path):
    (tmp_path / ".env").write_text(
        "# compose reads this file too\nPOSTGRES_PASSWORD=x\nexport PANDA_API__PORT=9000\n"
        "PANDA_KAFKA__BOOTSTRAP='a:1, b:2'\nACTIVE_BROKERS=paper,zerodha\n"
    )
    desk.setenv("PANDA_API__PORT", "9001")

    settings = load()

    assert settings.api.port == 9001
    assert settings.kafka.bootstrap == "a:1,b:2"
    assert settings.active_brokers == ("paper", "zerodha")


def test_settings_cannot_be_changed_after_they_are_read():
    settings = load()
    with pytest.raises(ValidationError):
        settings.data_dir = Path("/elsewhere")
    with pytest.raises(ValidationError):
        settings.api.port = 1


def test_a_misspelt_setting_in_the_environment_is_refused_with_the_one_that_was_meant(desk):
    desk.setenv("PANDA_KAFKA__BOOTSTRP", "10.0.0.1:9092")
    said = str(refusal())
    assert "unknown setting PANDA_KAFKA__BOOTSTRP in the environment" in said
    assert "did you mean PANDA_KAFKA__BOOTSTRAP?" in said


def test_a_misspelt_setting_in_the_env_file_is_refused_too(tmp_path):
    (tmp_path / ".env").write_text("PANDA_PORT=9000\n")
    assert "unknown setting PANDA_PORT in .env" in str(refusal())


def test_what_the_supervisor_tells_a_process_is_no_unknown_setting(desk):
    desk.setenv("PANDA_READY_FILE", "/run/ready")
    desk.setenv("PANDA_FAULT", "written:2")
    assert load() == Settings()


def test_a_group_cannot_be_given_as_one_text(desk):
    desk.setenv("PANDA_KAFKA", '{"bootstrap": "a:1", "password": "hunter2"}')
    said = str(refusal())
    assert "unknown setting PANDA_KAFKA " in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PANDA_API__PORT", "65536", "less than or equal to 65535"),
        ("PANDA_API__PORT", "http", "valid integer"),
        ("PANDA_API__HOST", "", "at least 1 character"),
        ("PANDA_KAFKA__BOOTSTRAP", "broker", "must be host:port"),
        ("PANDA_KAFKA__BOOTSTRAP", "", "must be host:port"),
        ("PANDA_KAFKA__BOOTSTRAP", "a:1,b:0", "was 'b:0'"),
        ("PANDA_KAFKA__EMBEDDED", "perhaps", "valid boolean"),
        ("PANDA_KAFKA__SASL_MECHANISM", "GSSAPI", "'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'"),
        ("PANDA_LOG__LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("PANDA_LOG__FORMAT", "xml", "'json' or 'console'"),
        ("PANDA_LAKE__PATH", "", "at least 1 character"),
        ("ACTIVE_BROKERS", "paper,upstox", "'paper' or 'zerodha'"),
        ("ACTIVE_BROKERS", "paper,paper", "each broker once"),
        ("ACTIVE_BROKERS", "", "'paper' or 'zerodha'"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_the_user_wrote_with_the_reason(desk, name, value, why):
    desk.setenv(name, value)
    said = str(refusal())
    assert f"wrong setting {name} = " in said
    assert why in said


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PANDA_REDIS__URL", "http://:hunter2@cache", "must be redis://"),
        ("PANDA_DATABASE__URL", "mysql://panda:hunter2@db/panda", "must be sqlite:///"),
        ("PANDA_DATABASE__URL", "sqlite://", "must be sqlite:///"),
        ("PANDA_KAFKA__PASSWORD", "hunter2", "are not used with security_protocol PLAINTEXT"),
    ],
)
def test_a_refusal_never_shows_a_secret(desk, name, value, why):
    desk.setenv(name, value)
    error = refusal()
    assert why in str(error)
    assert name.rpartition("__")[0] in str(error)
    assert "hunter2" not in str(error)
    assert error.__cause__ is None


def test_all_wrong_values_are_told_at_once(desk):
    desk.setenv("PANDA_API__PORT", "x")
    desk.setenv("PANDA_LOG__FORMAT", "xml")
    said = str(refusal())
    assert "PANDA_API__PORT = 'x'" in said
    assert "PANDA_LOG__FORMAT = 'xml'" in said


def test_a_protocol_with_authentication_needs_user_and_password(desk):
    desk.setenv("PANDA_KAFKA__SECURITY_PROTOCOL", "sasl_ssl")
    desk.setenv("PANDA_KAFKA__USERNAME", "feed")
    assert "security_protocol SASL_SSL needs both username and password" in str(refusal())
    desk.setenv("PANDA_KAFKA__PASSWORD", "hunter2")
    assert load().kafka.password.get_secret_value() == "hunter2"


def test_secrets_do_not_show_when_settings_are_printed(desk):
    desk.setenv("PANDA_REDIS__URL", "redis://:hunter2@cache:6379/0")
    desk.setenv("PANDA_DATABASE__URL", "postgresql+psycopg://panda:hunter2@db/panda")
    assert "hunter2" not in repr(load()) + str(load().model_dump())


@pytest.mark.parametrize("line", ["PANDA_API__PORT 9000", "PANDA_API__PORT", 'PANDA_DATA_DIR="open'])
def test_a_line_of_the_env_file_that_assigns_nothing_is_refused_with_its_number(tmp_path, line):
    (tmp_path / ".env").write_text(f"# a comment\n{line}\n")
    assert "line 2 of .env is no NAME=value" in str(refusal())


def test_an_env_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    assert "cannot read .env" in str(refusal())


def test_settings_can_be_made_in_code_too():
    settings = Settings(data_dir=Path("/srv"), active_brokers=("paper", "zerodha"))
    assert settings.lake.path == "/srv/lake"
    assert settings.active_brokers == ("paper", "zerodha")


@pytest.mark.parametrize(("page", "text"), [("docs/settings.md", settings_page()), (".env.example", env_example())])
def test_the_checked_in_pages_are_those_the_settings_make(page, text):
    written = (PROJECT / page).read_text(encoding="utf-8")
    assert written == text, "run: python -m connectors.settings"


def test_the_example_env_file_is_one_that_loads(tmp_path):
    lines = [line.removeprefix("#") for line in env_example().splitlines() if line.startswith(("#PANDA", "#ACTIVE"))]
    (tmp_path / ".env").write_text("\n".join(lines).replace("<PANDA_DATA_DIR>", ".panda"))
    assert load() == Settings()
    assert len(lines) == len(FIELDS)


def test_the_env_file_of_the_test_platform_sets_every_place_on_the_ports_of_its_own(desk):
    for name in ("KAFKA_ADMIN_PASSWORD", "REDIS_CACHE_PASSWORD", "POSTGRES_PANDA_PASSWORD", "DEPLOY_SECRET"):
        desk.setenv(name, f"the-{name}")
    path = PROJECT / ".env.test"

    settings = load(path)

    places = ("KAFKA", "REDIS", "DATABASE", "CONNECT", "LAKE", "API")
    named = {line.partition("=")[0] for line in path.read_text().splitlines() if line and not line.startswith("#")}
    assert {name for name in FIELDS if name.startswith(tuple(f"PANDA_{place}__" for place in places))} <= named
    assert settings.kafka.bootstrap == "127.0.0.1:19092"
    assert settings.kafka.password.get_secret_value() == "the-KAFKA_ADMIN_PASSWORD"
    assert settings.redis.url.get_secret_value() == "redis://cache:the-REDIS_CACHE_PASSWORD@127.0.0.1:6380/0"
    assert settings.database.url.get_secret_value().endswith("the-POSTGRES_PANDA_PASSWORD@127.0.0.1:5433/panda")
    assert settings.connect.url == "http://127.0.0.1:18083"
    assert settings.deploy.secret.get_secret_value() == "the-DEPLOY_SECRET"


def test_every_setting_says_in_the_table_what_it_means():
    assert [name for name, field in FIELDS.items() if not field.description] == []
    assert [name for name in FIELDS if f"| `{name}` |" not in settings_page()] == []


def test_the_archive_may_lie_in_a_bucket(desk):
    desk.setenv("PANDA_LAKE__PATH", "s3://archive/desk/one/")
    desk.setenv("PANDA_LAKE__KEY_ID", "id")
    desk.setenv("PANDA_LAKE__SECRET", "hidden")

    lake = load().lake

    assert (lake.path, lake.bucket, lake.prefix) == ("s3://archive/desk/one", "archive", "desk/one")
    assert "hidden" not in repr(lake)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PATH": "gs://archive"}, "must be a directory or s3://bucket/prefix"),
        ({"PATH": "s3://"}, "must be a directory or s3://bucket/prefix"),
        ({"PATH": "s3://id:secret@archive"}, "must be a directory or s3://bucket/prefix"),
        ({"PATH": "s3://archive", "KEY_ID": "id"}, "key_id and secret go together"),
        ({"PATH": "/archive", "ENDPOINT": "http://127.0.0.1:9000"}, "are used with a path s3://bucket/prefix only"),
        ({"PATH": "s3://archive", "ENDPOINT": "127.0.0.1:9000"}, "must be http://host:port"),
    ],
)
def test_a_place_of_the_archive_that_cannot_be_is_refused(desk, given, said):
    for name, value in given.items():
        desk.setenv(f"PANDA_LAKE__{name}", value)

    assert said in refusal().message
