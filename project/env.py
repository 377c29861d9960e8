"""The environment, read once and typed. Nothing else reads os.environ for configuration."""

import hashlib
import ipaddress
import os
import secrets
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from project.manifest import InvalidManifest, Manifest
from project.manifest import read as read_manifest

CommaList = Annotated[
    list[str],
    NoDecode,
    BeforeValidator(lambda value: _split(value) if isinstance(value, str) else value),
]
ROOT = Path(__file__).resolve().parent.parent


def _split(value: str) -> list[str]:
    return [item for part in value.split(",") if (item := part.strip())]


class Environment(BaseSettings):
    """Every setting that the outside may make; docs/operations.md lists them."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    debug: bool = False
    host: str = "127.0.0.1"
    port: str = Field(default="8000", pattern=r"^\d{1,5}(,\d{1,5})*$")
    data_dir: Path = ROOT / "var"
    # Addresses may hold a password: they are not shown with the rest.
    database_url: str = Field(default="", repr=False)
    redis_url_given: str = Field(default="", validation_alias="REDIS_URL", repr=False)
    redis_host: str = ""
    redis_port: PositiveInt = 6379

    web_processes: PositiveInt = 1
    worker_processes: PositiveInt = 1
    worker_concurrency: PositiveInt = 200
    #: Runs that end so soon after a worker is told to stop are finished, the others handed over.
    shutdown_grace_s: Annotated[float, Field(ge=0)] = 5

    llm_provider: Annotated[str, AfterValidator(str.lower)] = ""
    llm_temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    llm_max_tokens: PositiveInt = 2048
    llm_timeout_s: PositiveFloat = 30
    llm_call_limit_s: PositiveFloat = 600
    llm_max_retries: Annotated[int, Field(ge=0, le=10)] = 3
    #: "<provider>:<model>", asked in this order when the chosen model cannot answer.
    llm_fallback_models: CommaList = []
    openai_api_key: SecretStr = SecretStr("")
    openai_base_url: str = ""
    openai_model: str = "gpt-3.5-turbo"
    anthropic_api_key: SecretStr = SecretStr("")
    anthropic_base_url: str = "https://api.anthropic.com"
    anthropic_model: str = "claude-3-sonnet-20240229"
    gemini_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("GEMINI_API_KEY", "GOOGLE_API_KEY")
    )
    gemini_base_url: str = ""
    gemini_model: str = "gemini-pro"
    openrouter_api_key: SecretStr = SecretStr("")
    openrouter_base_url: str = "https://openrouter.ai/api/v1"
    openrouter_model: str = "openrouter/auto"
    local_model_url: str = ""

    #: An agent.ossa.yaml; what it says is the default of what the environment leaves out.
    agent_manifest: Path | None = None
    manifest: Manifest | None = Field(default=None, init=False, exclude=True, repr=False)

    auth_given: Literal["", "open", "required"] = Field(default="", validation_alias="AUTH")
    secret_key: SecretStr = SecretStr("")
    secret_key_file: Path | None = None
    allowed_hosts: CommaList = []
    csrf_trusted_origins: CommaList = []
    #: Pages of these origins may use the API; "*" is all of them.
    cors_origins: CommaList = []
    #: Of each user, or of each address where nobody is logged in; 0 is no limit.
    rate_limit_per_minute: Annotated[int, Field(ge=0)] = 0
    #: Of each user who is logged in: open streams of a web process, and sessions with a run.
    max_connections_per_user: PositiveInt = 10
    max_active_sessions_per_user: PositiveInt = 5
    #: With it, a program may read /metrics where callers have to log in.
    metrics_token: SecretStr = SecretStr("")
    #: A run of the older systems' endpoints may take so long; 0 is no limit.
    stream_timeout_s: Annotated[float, Field(ge=0)] = 300
    #: So long after the end of a run its events can be read again, one by one.
    event_retention_hours: PositiveFloat = 24
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @cached_property
    def ports(self) -> list[int]:
        return [int(port) for port in self.port.split(",")]

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def auth(self) -> Literal["open", "required"]:
        """Open only by wish, or for a developer's own machine."""
        if self.auth_given:
            return self.auth_given
        return "open" if self.debug and self.is_loopback else "required"

    @cached_property
    def embedded_redis_socket(self) -> Path:
        """Where the private valkey listens; a Unix socket's path may have 107 bytes at most."""
        path = self.data_dir.resolve() / "valkey.sock"
        if len(bytes(path)) <= 100:
            return path
        digest = hashlib.sha256(bytes(path)).hexdigest()[:16]
        return Path("/tmp") / f"chatledger-{digest}.sock"  # noqa: S108  # nosec B108

    @property
    def uses_embedded_redis(self) -> bool:
        return not (self.redis_url_given or self.redis_host)

    @property
    def redis_url(self) -> str:
        if self.redis_url_given:
            return self.redis_url_given
        if self.redis_host:
            return f"redis://{self.redis_host}:{self.redis_port}/0"
        return f"unix://{self.embedded_redis_socket}"

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'chatledger.sqlite3'}"

    def read_secret_key(self) -> str:
        """The key from the environment or a file; else one is made once in the data directory."""
        if key := self.secret_key.get_secret_value():
            return key
        path = self.secret_key_file or self.data_dir / "secret_key"
        if not path.exists() and self.secret_key_file is None:
            _make_secret(path)
        return path.read_text().strip()


def _make_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    scratch.touch(mode=0o600)
    scratch.write_text(secrets.token_urlsafe(48))
    try:
        # A link fails where another process was first: its key stands.
        path.hardlink_to(scratch)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


@lru_cache(maxsize=1)
def read() -> Environment:
    """Read the environment; ends the process with a line for each variable that is wrong."""
    try:
        return _with_manifest(Environment())
    except InvalidManifest as error:
        raise SystemExit(f"The manifest cannot be used.\n{error}") from None
    except ValidationError as error:
        lines = [
            f"{str(wrong['loc'][0]).upper()}={_shown(wrong['input'])}: {wrong['msg']}"
            for wrong in error.errors()
        ]
        raise SystemExit("\n".join(["Wrong settings in the environment:", *lines])) from None


def _with_manifest(env: Environment) -> Environment:
    if env.agent_manifest is None:
        return env
    manifest = read_manifest(env.agent_manifest, os.environ)
    made = manifest.settings()
    left_out = {name: made[name] for name in made if name not in env.model_fields_set}
    return env.model_copy(update={**left_out, "manifest": manifest})


def _shown(value: object) -> str:
    return "…" if isinstance(value, SecretStr) else repr(value)
