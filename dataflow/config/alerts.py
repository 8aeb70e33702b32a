"""Who is told of failed rules: what an alert needs, its secrets taken from the environment when it is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias, cast, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from dataflow.config.environment import Environment
from dataflow.config.gates import Name, Names
from dataflow.errors import ConfigError
from dataflow.model import Frozen, Severity

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Secret(SecretStr):
    """A text that is not printed, with ``${NAME}`` where the environment has a part of it.

    Example:
        >>> Secret("https://${HOST}/hook").reveal({"HOST": "localhost"})
        'https://localhost/hook'
    """

    def _display(self) -> str:
        # A reference tells nothing, and lets a configuration survive JSON.
        return self._secret_value if REFERENCE.fullmatch(self._secret_value) else super()._display()

    def reveal(self, env: Mapping[str, str] | None = None) -> str:
        """The text with the values of the environment in it, those of the working directory's ``.env`` too.

        Errors: ConfigError that names a variable that is not set.
        """
        known = Environment.of_process().values if env is None else env

        def fill(found: re.Match[str]) -> str:
            if found[1] not in known:
                raise ConfigError(f"the environment variable {found[1]} is not set; an alert needs it", name=found[1])
            return known[found[1]]

        return REFERENCE.sub(fill, self._secret_value)


def _secret(value: Any) -> str:
    # Pydantic's own messages would be followed by what was found.
    text = value.get_secret_value() if isinstance(value, Secret) else value
    if not isinstance(text, str) or not text:
        raise PydanticCustomError("secret", "a text is expected, as in ${NAME} to take it from the environment")
    if "${" in REFERENCE.sub("", text):
        raise PydanticCustomError("secret", "only ${NAME} is understood of what refers to the environment")
    return text


def _reference(value: Any) -> str:
    text = value.get_secret_value() if isinstance(value, Secret) else str(value)
    if not REFERENCE.fullmatch(text):
        raise PydanticCustomError("secret", "a password has no place in a configuration; write ${NAME} and set NAME")
    return text


def _address(value: Any) -> str:
    text = _secret(value)
    if not text.startswith(("http://", "https://", "${")):
        raise PydanticCustomError("secret", "an address is expected, https://… or ${NAME} from the environment")
    return text


_AS_SHOWN = PlainSerializer(str, return_type=str, when_used="json")
Password = Annotated[Secret, BeforeValidator(_reference), _AS_SHOWN]
Address = Annotated[Secret, BeforeValidator(_address), _AS_SHOWN]
SecretText = Annotated[Secret, BeforeValidator(_secret), _AS_SHOWN]


class _Alert(Frozen):
    severity: Severity = "critical"
    """The least severity of a failed rule that fires it."""

    def fires(self, severity: Severity) -> bool:
        """Whether a failed rule of this severity is told of."""
        order: tuple[str, ...] = get_args(Severity)
        return order.index(severity) <= order.index(self.severity)


class SlackAlert(_Alert):
    """A message to a Slack channel."""

    type: Literal["slack"]
    """A channel of Slack."""
    url: Address
    """The channel's webhook."""


class EmailAlert(_Alert):
    """A message by SMTP."""

    type: Literal["email"]
    """A mail."""
    host: Name
    """The SMTP server."""
    port: int = Field(default=587, ge=1, le=65535)
    """Its port."""
    use_tls: bool = True
    """Begin in the clear and go over to TLS."""
    use_ssl: bool = False
    """TLS from the first byte, as on port 465; instead of ``use_tls``."""
    sender: Name
    """The address that mails come from."""
    receivers: Names = Field(min_length=1)
    """The addresses that they go to."""
    user: SecretText | None = None
    """Who logs in; with ``password``."""
    password: Password | None = None
    """Written ``${NAME}``, with NAME in the environment."""

    @model_validator(mode="before")
    @classmethod
    def _ssl_instead(cls, data: Any) -> Any:
        given: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
        return {"use_tls": False, **given} if given.get("use_ssl") is True else cast(Any, data)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.use_tls and self.use_ssl:
            raise ValueError("use_tls and use_ssl are two ways to the same end; set one of them")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together; give both, or neither")
        return self


class WebhookAlert(_Alert):
    """A POST of the verdict as JSON."""

    type: Literal["webhook"]
    """Any address that takes JSON."""
    url: Address
    """Where the verdict is posted."""


AlertConfig: TypeAlias = Annotated[SlackAlert | EmailAlert | WebhookAlert, Field(discriminator="type")]


class Alerts(Frozen):
    """Who is told of failed rules."""

    alerts: tuple[AlertConfig, ...] = ()
    """Who is told of failed rules, and how."""
