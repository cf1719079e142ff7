"""Settings: read from the environment, a `.env` file or `ytray.toml`, in that order of precedence."""

from __future__ import annotations

import os
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ytray.errors import SettingsError

QUEUES = ("default", "generation", "media", "batch")
QueueName = Literal["default", "generation", "media", "batch"]
ProviderName = Literal["offline", "vertex", "openai"]
CommaSeparated = Annotated[tuple[str, ...], NoDecode]
CommaSeparatedSeconds = Annotated[tuple[float, ...], NoDecode]


class Settings(BaseSettings):
    """What is in force. Each field is the environment variable `YTRAY_<FIELD>`; durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="YTRAY_", env_file=".env", toml_file="ytray.toml", extra="ignore", frozen=True
    )

    home: Path = Field(Path("~/.ytray"), description="Where all local state lives.")
    namespace: str = Field("ytray", pattern=r"^[a-z0-9_-]{1,32}$", description="Prefix of every Redis key.")
    redis_url: SecretStr | None = Field(None, description="Redis to use; without it an embedded one is started.")
    redis_replicas: int = Field(
        0, ge=0, le=16, description="Replicas of Redis that must have a move before it counts as made."
    )
    redis_memory: int = Field(
        0, ge=0, description="Bytes that the embedded Redis may use; 0 = half of the machine's memory."
    )
    ray_address: str | None = Field(
        None, validation_alias="RAY_ADDRESS", description="Ray cluster to join; without it a local one."
    )
    ray_without_token: bool = Field(
        False, description="Join a Ray cluster beyond this machine that asks for no token: who reaches it runs code."
    )
    imports: CommaSeparated = Field((), description="Modules with your own tasks, comma-separated.")
    stored_code: bool = Field(True, description="Whether code that scripts ship is run; else only what is installed.")
    code_secret: SecretStr | None = Field(
        None, min_length=32, description="Signs code that scripts ship; without it a file of YTRAY_HOME does."
    )
    provider: ProviderName = Field("offline", description="Who makes text, speech, pictures and clips.")
    provider_text: ProviderName | None = Field(None, description="Who writes, where it is not YTRAY_PROVIDER.")
    provider_speech: ProviderName | None = Field(None, description="Who speaks, where it is not YTRAY_PROVIDER.")
    provider_image: ProviderName | None = Field(None, description="Who draws, where it is not YTRAY_PROVIDER.")
    provider_video: ProviderName | None = Field(None, description="Who films, where it is not YTRAY_PROVIDER.")
    artifacts: str | None = Field(
        None,
        description="Where files are kept: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX; default HOME/artifacts.",
    )
    artifact_links: Literal["proxied", "signed"] = Field(
        "proxied", description="Whether the API brings files itself, or sends readers to signed URLs of the store."
    )
    cache_bytes: int = Field(10 * 1024**3, ge=0, description="Bytes of remote files that a node keeps on its disk.")

    slots_default: int = Field(0, ge=0, description="Jobs of the queue at once per node; 0 = one per core.")
    slots_generation: int = Field(0, ge=0, description="The same for `generation`.")
    slots_media: int = Field(0, ge=0, description="The same for `media`.")
    slots_batch: int = Field(0, ge=0, description="The same for `batch`.")
    prefetch: int = Field(4, ge=1, le=64, description="Ray tasks in flight for each slot, for short tasks.")

    autoscale_most: int = Field(
        0, ge=0, le=10_000, description="Slots of each queue that Ray's autoscaler is asked for at most; 0 = none."
    )
    autoscale_hold: float = Field(
        60.0, ge=0, description="Seconds that the autoscaler is asked for what is no longer needed."
    )

    lease_seconds: float = Field(30.0, gt=0, description="A job whose worker is silent for so long is requeued.")
    retry_delays: CommaSeparatedSeconds = Field(
        (60.0, 300.0, 1800.0, 7200.0, 7200.0),
        description="Seconds before each retry; as many retries as numbers.",
    )
    retry_jitter: float = Field(0.10, ge=0, le=1, description="Share of a retry delay added at random.")
    breaker_threshold: int = Field(5, ge=1, description="Failures in a row that open a circuit breaker.")
    breaker_timeout: float = Field(300.0, gt=0, description="Seconds an open breaker waits before its probe.")
    cancel_grace: float = Field(2.0, ge=0, description="Seconds a cancelled task has to tidy up before it is killed.")
    result_ttl: int = Field(3600, ge=1, description="Seconds a result is kept after the job's end.")
    history_ttl: int = Field(7 * 86400, ge=1, description="Seconds an ended job and its history are kept.")
    batch_rows: int = Field(1_000_000, ge=1, description="Rows that one batch may have.")
    batch_ttl: int = Field(90 * 86400, ge=1, description="Seconds an ended batch is kept, and with it its items.")
    kept_ttl: int = Field(
        14 * 86400, ge=86400, description="Seconds that rendered scenes, sounds and given files are kept unused."
    )
    cleanup_cron: str = Field("*/10 * * * *", description="When `cleanup_old_results` runs (UTC).")
    max_payload: int = Field(1_048_576, ge=1024, description="Bytes of JSON that arguments or a result may have.")

    alert_webhook_url: str | None = Field(None, description="Told of each job that enters the dead-letter queue.")
    alert_webhook_secret: SecretStr | None = Field(None, description="Signs the webhook (HMAC-SHA256).")
    alert_webhook_private: bool = Field(False, description="Allow it any address, private ones too, and any port.")
    webhook_networks: CommaSeparated = Field(
        (), description="Networks and addresses that users' webhooks may lead to though not public, comma-separated."
    )

    http_host: str = Field("127.0.0.1", description="Where the API listens; elsewhere than here it needs API keys.")
    http_port: int = Field(8000, ge=1, le=65535, description="The port of the API and the console.")
    http_replicas: int = Field(1, ge=1, le=64, description="Processes that answer HTTP requests.")
    api_keys: SecretStr | None = Field(
        None, description="Keys besides those of `ytray keys`, comma-separated: NAME:KEY or NAME:KEY:SCOPE+SCOPE."
    )
    rate_limit: int = Field(200, ge=0, description="Requests a second that one API key may make; 0 = no limit.")
    stream_limit: int = Field(
        100, ge=0, description="Event streams that one API key may have open at each replica; 0 = no limit."
    )
    cors_origins: CommaSeparated = Field((), description="Origins whose pages may call the API, comma-separated.")

    user_jobs: int = Field(20_000, ge=0, description="Jobs that have not ended of a user with a key; 0 = no limit.")
    user_bytes: int = Field(1024**3, ge=0, description="Bytes of these jobs' arguments together; 0 = no limit.")
    user_rows: int = Field(
        1_000_000, ge=0, description="Rows of batches that such a user may have waiting; 0 = no limit."
    )
    user_schedules: int = Field(10, ge=0, description="Batches by cron that such a user may have; 0 = none.")
    user_priority: int = Field(9, ge=0, le=9, description="The highest priority that such a user may give.")

    vertex_project: str | None = Field(None, description="The Google Cloud project that pays.")
    vertex_location: str = Field("global", description="The region that is asked.")
    vertex_base_url: str | None = Field(None, description="A gateway or test server instead of Google's own address.")
    vertex_token: SecretStr | None = Field(None, description="A bearer token; else Application Default Credentials.")
    vertex_timeout: float = Field(120.0, gt=0, description="Seconds that an answer of Vertex AI may take.")
    vertex_poll: float = Field(10.0, gt=0, description="Seconds between looks at a long-running operation.")
    vertex_safety: Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"] = (
        Field("BLOCK_MEDIUM_AND_ABOVE", description="From where on Vertex AI's safety filters block.")
    )
    model_text: str = Field("gemini-3.8-flash", description="Writes hooks, scripts and notes.")
    model_image: str = Field("gemini-3.1-flash-image", description="Draws.")
    model_video: str = Field("veo-3.1-fast-generate-001", description="Films: a veo-… or a gemini-omni-… model.")
    model_speech: str = Field("gemini-3.8-flash-tts", description="Speaks.")
    voice: str = Field("Kore", description="The voice of the model that speaks.")
    openai_base_url: str | None = Field(None, description="An OpenAI-compatible endpoint that writes, such as vLLM.")
    openai_api_key: SecretStr | None = Field(None, description="Its key, where it wants one.")
    openai_model: str | None = Field(None, description="Its model.")
    coherence_judge: Literal["computed", "vertex"] = Field(
        "computed", description="Who judges coherence beside the computed score."
    )
    hook_threshold: float = Field(0.6, ge=0, le=1, description="A hook that scores less is written again.")
    hook_tries: int = Field(3, ge=1, le=10, description="How many hooks are written at most.")

    prices: Path | None = Field(None, description="Your own table of prices (TOML), over the one that comes along.")
    budget_user: float | None = Field(
        None, ge=0, description="US dollars a user may spend in a month, unless told else."
    )
    on_uncertain: Literal["stop", "retry"] = Field(
        "stop", description="A paid call with an unknown outcome: dead-letter its job, or pay again."
    )
    journal_ttl: int = Field(
        90 * 86400, ge=3600, description="Seconds the spend journal is kept and assets are reused."
    )
    model_limits: str = Field(
        "", description="By model: `veo-*=requests:10,at_once:4;gemini-*=tokens:1000000` (a minute, the cluster over)."
    )

    metrics_namespace: str = Field("ytray", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("artifacts", mode="after")
    @classmethod
    def _absolute_folder(cls, value: str | None) -> str | None:
        # Workers run in folders of their own.
        return value if not value or "://" in value else str(Path(value).expanduser().absolute())

    @field_validator("imports", "cors_origins", "webhook_networks", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_networks", mode="after")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)  # its ValueError says what is wrong
        return value

    @field_validator("retry_delays", mode="before")
    @classmethod
    def _split_seconds(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(float(part) for part in value.split(",") if part.strip())
        if not all(0 <= delay <= 366 * 86400 for delay in value):
            raise ValueError("a retry delay is in seconds, from 0 to a year")
        return value

    @field_validator("cleanup_cron")
    @classmethod
    def _comes_round(cls, value: str) -> str:
        from croniter import croniter  # only for who sets it: it takes a while to import

        try:
            if len(value.split()) != 5:
                raise ValueError("it has not five fields")
            croniter(value).get_next()
        except ValueError as wrong:
            raise ValueError(f"{value!r} is no cron expression (five fields, as in '*/10 * * * *'): {wrong}") from None
        return value

    def slots(self, queue: str) -> int:
        """Jobs of `queue` that one node runs at once."""
        asked: int = getattr(self, f"slots_{queue}")
        return asked or os.cpu_count() or 1

    @classmethod
    def of_system(cls, values: dict[str, Any]) -> Settings:
        """The settings of a running system, from a `model_dump` of them: but where this node has a YTRAY_HOME, its own.

        Nodes share no disk, so each has a home. What another version has given that this one does not know is left out.
        """
        known = {name: values[name] for name in cls.model_fields if name in values and name != "ray_address"}
        if own := os.environ.get("YTRAY_HOME"):
            known["home"] = own
        return cls(**known, RAY_ADDRESS=values.get("ray_address"))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the signature is pydantic-settings'
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)


_adopted: Settings | None = None


def adopt(given: Settings) -> None:
    """Use the settings of the system that this process works for: workers run with those of their submitter."""
    global _adopted
    _adopted = given
    settings.cache_clear()


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises SettingsError, naming the variable, when a value cannot be used.
    """
    if _adopted is not None:
        return _adopted
    try:
        return Settings()
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        name = name if name.startswith("RAY") else f"YTRAY_{name}"
        raise SettingsError(f"{name}: {first['msg']}; `ytray config` lists what each setting accepts") from None
