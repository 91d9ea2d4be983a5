"""Callers' keys as settings."""

from hashlib import sha256
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from gateway.config.fields import Key, Strict


class KeyConfig(Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the caller, for audit and limits.")
    key: Key | None = Field(None, min_length=8, description="What the caller sends as its API key.")
    key_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-fA-F]{64}$",
        description="In place of `key`, its SHA-256 in hex, so that the key itself stands nowhere "
        "(`printf %s KEY | sha256sum`).",
    )
    routes: list[str] | None = Field(None, description="Routes this caller may use; all when left out.")
    expires_at: AwareDatetime | None = Field(
        None, description="When the key ceases to be valid, with its time zone, as 2027-01-31T00:00:00Z."
    )

    @model_validator(mode="after")
    def _has_one_key(self) -> "KeyConfig":
        if (self.key is None) == (self.key_sha256 is None):
            raise ValueError("needs either `key` or `key_sha256`")
        return self

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the key."""
        if self.key is not None:
            return sha256(self.key.get_secret_value().encode()).digest()
        return bytes.fromhex(self.key_sha256 or "")


def _named(given: Any) -> Any:
    """A list of bare strings is a list of keys: named key-1, key-2, …"""
    if isinstance(given, str):
        given = [key.strip() for key in given.split(",") if key.strip()]
    if isinstance(given, list):
        return [
            {"name": f"key-{number}", "key": key} if isinstance(key, str) else key
            for number, key in enumerate(given, 1)
        ]
    return given


Keys = Annotated[list[KeyConfig], BeforeValidator(_named)]
