"""Settings: read once at start from the environment and `.env`, frozen from then on.

Names begin with `PANDA_` (`ACTIVE_BROKERS` excepted), parts of a name are joined by two underscores:
`PANDA_KAFKA__BOOTSTRAP`. The environment wins over `.env`. A name nobody knows is refused: a typing mistake must not
pass as a default. `docs/settings.md` and `.env.example` are made from this module: `python -m connectors.settings`.
"""

import datetime as dt
import difflib
import hmac
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from connectors.errors import ConfigError
from functions.poison import Limit

PREFIX: Final = "PANDA_"
DELIMITER: Final = "__"
S3: Final = "s3://"
SECRET_NOT_SHOWN: Final = "(secret, not shown)"

Broker = Literal["paper", "zerodha"]


# --- what one value may be --------------------------------------------------------------------------------------------


def _addresses(text: str) -> str:
    for address in text.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ValueError(f"must be host:port, or several joined by commas, was {address!r}")
    return text.replace(" ", "")


def _redis_url(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme == "unix" and parts.path:
        return secret
    if parts.scheme in ("redis", "rediss") and parts.hostname:
        return secret
    raise ValueError("must be redis://host:port/database, rediss://… or unix:///path/of/the.sock")


def _database_url(secret: SecretStr) -> SecretStr:
    scheme, _, place = secret.get_secret_value().partition("://")
    if scheme.partition("+")[0] == "postgresql" or (scheme == "sqlite" and place.strip("/") not in ("", ":memory:")):
        return secret
    raise ValueError("must be sqlite:///path/of/file or postgresql+psycopg://user:password@host/database")


def _comma_separated(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _each_once(brokers: tuple[Broker, ...]) -> tuple[Broker, ...]:
    if not brokers or len(set(brokers)) < len(brokers):
        raise ValueError(f"must name each broker once, at least one, was {','.join(brokers)!r}")
    return brokers


def _lake_path(text: str) -> str:
    if "://" not in text:
        return text
    parts = urlsplit(text)
    if not text.startswith(S3) or not parts.hostname or parts.username or parts.query or "*" in text or "'" in text:
        raise ValueError(f"must be a directory or s3://bucket/prefix, was {text!r}")
    return text.rstrip("/")


def _absolute(text: str) -> str:
    """A file's place, the same from whatever directory it is read."""
    return str(Path(text).expanduser().absolute()) if text else ""


def _date(text: str) -> str:
    if text:
        try:
            dt.date.fromisoformat(text)
        except ValueError as error:
            raise ValueError(f"must be a day, YYYY-MM-DD, was {text!r}") from error
    return text


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"must be http://host:port or https://host:port, was {text!r}")
    return text.rstrip("/")


LakePath = Annotated[str, AfterValidator(_lake_path)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Addresses = Annotated[str, AfterValidator(_addresses)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrlOrNone = Annotated[SecretStr, AfterValidator(lambda url: _redis_url(url) if url.get_secret_value() else url)]
DatabaseUrlOrNone = Annotated[
    SecretStr, AfterValidator(lambda url: _database_url(url) if url.get_secret_value() else url)
]


# --- the settings -----------------------------------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KafkaSettings(_Part):
    """Where the log is, and how to enter."""

    bootstrap: Addresses = Field("127.0.0.1:9092", description="Addresses of brokers, host:port, joined by commas")
    embedded: bool = Field(
        False,
        description="The broker is the embedded one: it has no admin interface and must be polled without waiting",
    )
    username: str = Field("", description="SASL user; empty without SASL")
    password: SecretStr = Field(SecretStr(""), description="SASL password; empty without SASL")
    security_protocol: Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)] = (
        Field("PLAINTEXT", description="Encryption and authentication of the connection")
    )
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)] = Field(
        "SCRAM-SHA-512", description="How the user proves the password"
    )

    @model_validator(mode="after")
    def _credentials_fit_the_protocol(self) -> "KafkaSettings":
        given = bool(self.username), bool(self.password.get_secret_value())
        if self.security_protocol.startswith("SASL"):
            if given != (True, True):
                raise ValueError(f"security_protocol {self.security_protocol} needs both username and password")
        elif given != (False, False):
            raise ValueError(f"username and password are not used with security_protocol {self.security_protocol}")
        return self


class RedisSettings(_Part):
    """Where the read side keeps what dashboards ask for."""

    url: RedisUrl = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss:// (TLS) or unix:// (a socket); may hold a password",
    )


class DatabaseSettings(_Part):
    """The config store: instruments, accounts, strategies."""

    url: DatabaseUrl = Field(
        description="SQLAlchemy URL of the config store, SQLite or Postgres; may hold a password",
        json_schema_extra={"default_text": "sqlite:///<PANDA_DATA_DIR>/panda.sqlite"},
    )


class ConnectSettings(_Part):
    """Where Kafka Connect is told what to carry."""

    url: HttpUrl = Field("http://127.0.0.1:8083", description="Address of a Connect worker's REST interface")


class DeploySettings(_Part):
    """What `panda deploy` needs beyond the flows' own settings."""

    secret: SecretStr = Field(
        SecretStr(""),
        description="From it come the passwords of the flows' Kafka users; empty on a broker without authentication",
    )
    flows: Literal["here", "elsewhere"] = Field(
        "elsewhere",
        description="Where the flows run: `panda deploy` keeps them on this machine, or others do elsewhere",
    )
    lease_url: DatabaseUrlOrNone = Field(
        SecretStr(""),
        description="The config store in Postgres as a role that may connect and nothing else, for the flows that need no "
        "more: pipelines, for their lease, and connectors; empty gives them PANDA_DATABASE__URL",
    )
    api_redis_url: RedisUrlOrNone = Field(
        SecretStr(""), description="Redis as a user who may only read, for the API; empty gives it PANDA_REDIS__URL"
    )
    shards: int = Field(1, ge=1, le=256, description="Pipelines a broker, each with its share of the accounts")
    stuck_s: float = Field(
        60.0,
        ge=5.0,
        le=3_600.0,
        description="A flow that lives and whose heartbeat is older, in seconds, is killed and started again; longer than it "
        "takes to compile the engine, which `just setup` does ahead",
    )


class DeadLetterSettings(_Part):
    """How many unusable records are too many; what counts is in docs/runbook.md."""

    limit: int = Field(
        500,
        ge=0,
        le=10_000,
        description="More poison records than this among the last PANDA_DEAD_LETTERS__AMONG of a topic stop the pipeline with "
        "exit code 4, before it makes dead letters of all of it; 0 never stops it",
    )
    among: int = Field(1_000, ge=1, le=1_000_000, description="The last records of a topic that are looked at for it")
    alert_per_minute: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="More dead letters than this within a minute of event time are a system alert; 0 is none",
    )

    @property
    def limits(self) -> Limit:
        return Limit(self.limit, self.among, self.alert_per_minute)

    @model_validator(mode="after")
    def _limit_can_be_exceeded(self) -> "DeadLetterSettings":
        if self.limit >= self.among:
            raise ValueError(f"limit is less than among, was {self.limit} of {self.among}; 0 never stops the pipeline")
        return self


class StrategySettings(_Part):
    """What a strategy may take of everybody's time."""

    limit_s: float = Field(
        5.0,
        ge=0.0,
        le=3_600.0,
        description="Seconds that a strategy may take for a batch of at most 1 000 ticks; one that takes longer is suspended "
        "until its configuration changes. Keep it below PANDA_DEPLOY__STUCK_S; 0 is no limit",
    )


class LakeSettings(_Part):
    """The Parquet archive: a directory, or a place in a bucket behind S3's protocol."""

    path: LakePath = Field(
        min_length=1,
        description="Directory of the Parquet archive, or s3://bucket/prefix",
        json_schema_extra={"default_text": "<PANDA_DATA_DIR>/lake"},
    )
    endpoint: Annotated[str, AfterValidator(lambda text: _http_url(text) if text else text)] = Field(
        "", description="Address of the store that holds the bucket; empty is Amazon's of the region"
    )
    region: str = Field("us-east-1", min_length=1, description="Region of the bucket")
    key_id: str = Field("", description="Id of the access key to the bucket; empty takes the machine's own identity")
    secret: SecretStr = Field(SecretStr(""), description="Secret of the access key to the bucket")
    url_style: Literal["path", "virtual"] = Field(
        "path", description="Whether the bucket stands in the path of a request or before the host's name"
    )

    @property
    def bucket(self) -> str:
        """Empty where the archive is a directory."""
        return urlsplit(self.path).netloc if self.path.startswith(S3) else ""

    @property
    def prefix(self) -> str:
        """Where in the bucket the archive begins."""
        return urlsplit(self.path).path.strip("/") if self.bucket else ""

    @model_validator(mode="after")
    def _key_is_whole_and_for_a_bucket(self) -> "LakeSettings":
        if bool(self.key_id) != bool(self.secret.get_secret_value()):
            raise ValueError("key_id and secret go together")
        if not self.bucket and (self.key_id or self.endpoint):
            raise ValueError("key_id and endpoint are used with a path s3://bucket/prefix only")
        return self


class ApiSettings(_Part):
    """Where the API and the dashboard listen."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 is every interface")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one")


class LogSettings(_Part):
    """What is written to standard error."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        "INFO", description="The least severe level that is written"
    )
    format: Literal["json", "console"] = Field("json", description="One JSON object a line, or text for a terminal")


def _store_in(given: dict[str, Any]) -> DatabaseSettings:
    return DatabaseSettings(url=SecretStr(f"sqlite:///{given['data_dir'] / 'panda.sqlite'}"))


def _lake_in(given: dict[str, Any]) -> LakeSettings:
    return LakeSettings(path=str(given["data_dir"] / "lake"))


class Settings(BaseSettings):
    """Everything a process is told from outside. Nothing is created or connected here."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_prefix=PREFIX, env_nested_delimiter=DELIMITER,
        dotenv_filtering="match_prefix", populate_by_name=True,
    )  # fmt: skip

    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        Path(".panda"), description="Directory for everything that is kept locally; made when first needed"
    )
    active_brokers: Annotated[
        tuple[Broker, ...], NoDecode, BeforeValidator(_comma_separated), AfterValidator(_each_once)
    ] = Field(
        ("paper",),
        validation_alias="ACTIVE_BROKERS",
        description="Brokers of this deployment, joined by commas",
    )
    calendar: Annotated[str, AfterValidator(_absolute)] = Field(
        "",
        description="A file that adds or replaces years of the trading calendar, see docs/calendar.md; empty adds none",
    )
    charges: Annotated[str, AfterValidator(_absolute)] = Field(
        "", description="A file that adds or replaces rates of the charges, see docs/calendar.md; empty adds none"
    )
    charges_as_of: Annotated[str, AfterValidator(_date)] = Field(
        "", description="A day, YYYY-MM-DD, whose charges hold for every day that is traded; empty takes each day's own"
    )
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    database: DatabaseSettings = Field(default_factory=_store_in)  # given the fields above
    connect: ConnectSettings = ConnectSettings()
    deploy: DeploySettings = DeploySettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    strategies: StrategySettings = StrategySettings()
    lake: LakeSettings = Field(default_factory=_lake_in)
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()


def principal_password(secret: SecretStr, principal: str) -> SecretStr:
    """The Kafka password of a flow's user: nothing is kept per user, and a new secret changes them all.

    HMAC-SHA256 of the name, its first 40 hex digits.

    >>> principal_password(SecretStr("s"), "feed") == principal_password(SecretStr("s"), "cache")
    False
    """
    digest = hmac.digest(secret.get_secret_value().encode(), principal.encode(), "sha256")
    return SecretStr(digest.hex()[:40])


# --- reading ----------------------------------------------------------------------------------------------------------


def _leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, (*path, name))
        else:
            yield (*path, name), field


def env_name(path: tuple[str, ...]) -> str:
    """The environment variable of a setting.

    >>> env_name(("kafka", "bootstrap")), env_name(("active_brokers",))
    ('PANDA_KAFKA__BOOTSTRAP', 'ACTIVE_BROKERS')
    """
    return (
        "ACTIVE_BROKERS" if path[0] in ("active_brokers", "ACTIVE_BROKERS") else PREFIX + DELIMITER.join(path).upper()
    )


FIELDS: Final[dict[str, FieldInfo]] = {env_name(path): field for path, field in _leaves(Settings)}


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


# What a supervisor tells one process about itself, not what a user sets: read where it is used.
ENV_FILE: Final = "PANDA_ENV_FILE"  # another file than .env
OF_THE_SUPERVISOR: Final = frozenset({"PANDA_READY_FILE", "PANDA_FLOWS_REPORT", "PANDA_FAULT", ENV_FILE})


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in FIELDS and name not in OF_THE_SUPERVISOR:
            near = difflib.get_close_matches(name.upper(), FIELDS, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"unknown setting {name} in {where}",
                remedy=f"{meant}docs/settings.md lists every setting; remove or correct this one",
            )


_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=")


def _read_file(path: Path) -> Mapping[str, str | None]:
    """The assignments of an env file. A line that is none is refused: the library under us would drop it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {path}: {error}", remedy=f"make {path} a readable UTF-8 file, or remove it"
        ) from error
    values = DotEnvSettingsSource(Settings, env_file=path, case_sensitive=True).env_vars
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assigned = _ASSIGNMENT.match(line)
        if not assigned or values.get(assigned[1]) is None:
            raise ConfigError(
                f"line {number} of {path} is no NAME=value", remedy="one setting a line; close every quote"
            )
    return values


def _refusal(error: ValidationError) -> ConfigError:
    """All wrong values in one message, by the names a user writes; of secrets only that they are wrong."""
    lines = []
    for fault in error.errors(include_url=False, include_context=False):
        if fault["type"] == "default_factory_not_called":
            continue  # a place in a data directory that is wrong itself, and said so
        path = tuple(str(part) for part in fault["loc"] if isinstance(part, str))
        name = env_name(path) if path else PREFIX + "*"
        reason = fault["msg"].removeprefix("Value error, ")
        reason = reason[0].lower() + reason[1:]
        field = FIELDS.get(name)
        if field is None:  # a rule over several settings names them itself
            lines.append(f"{name}{DELIMITER}*: {reason}")
        else:
            value = SECRET_NOT_SHOWN if _is_secret(field) else repr(fault["input"])
            lines.append(f"{name} = {value}: {reason}")
    return ConfigError(
        "wrong settings\n  " + "\n  ".join(lines) if len(lines) > 1 else f"wrong setting {lines[0]}",
        remedy="correct the environment or .env; docs/settings.md says what each setting may be",
    )


def load(env_file: Path | None = None) -> Settings:
    """The settings of this process, from the environment and, beneath it, an env file where there is one.

    The file is the one given, else the one that PANDA_ENV_FILE names, else `.env`.

    Raises: `ConfigError` for an unknown name, an unreadable file or a wrong value, naming the environment variable and
    the value (never the value of a secret).
    """
    env_file = env_file or Path(os.environ.get(ENV_FILE, ".env"))
    _refuse_unknown(_read_file(env_file), str(env_file))
    _refuse_unknown(os.environ, "the environment")
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        raise _refusal(error) from None  # the cause would print what was given, secrets too


# --- the pages made from this module ----------------------------------------------------------------------------------


def _kind(field: FieldInfo) -> str:
    if _is_secret(field):
        return "secret text"
    if field.annotation == tuple[Broker, ...]:
        return "one or more of " + ", ".join(f"`{broker}`" for broker in get_args(Broker))
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(field.annotation))
    kinds: dict[Any, str] = {Path: "path", str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    return kinds[field.annotation]


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default_text" in extra:
        return str(extra["default_text"])
    value = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _as_code(text: str) -> str:
    return f"`{text}`" if text else "empty"


def settings_page() -> str:
    """`docs/settings.md`: every setting with its kind, its default and what it means."""
    rows = [
        f"| `{name}` | {_kind(field)} | {_as_code(_default(field))} | {field.description} |"
        for name, field in FIELDS.items()
    ]
    head = (__doc__ or "").split("\n\n", 1)[1].strip()
    return "\n".join(
        ["# Settings", "", head, "", "| setting | kind | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def env_example() -> str:
    """`.env.example`: every setting at its default, commented out."""
    lines = ["# Copy to .env and take the # from what you change. docs/settings.md says the same as a table.", ""]
    for name, field in FIELDS.items():
        lines += [f"# {field.description}", f"#{name}={_default(field)}", ""]
    return "\n".join(lines)


def write_pages(project: Path) -> None:
    """Both pages, written into a project's directory."""
    (project / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (project / ".env.example").write_text(env_example(), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(__file__).resolve().parents[1])
