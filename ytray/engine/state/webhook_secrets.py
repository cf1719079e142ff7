"""The secret of each user that webhooks of their batches are signed with, as Standard Webhooks has it.

https://www.standardwebhooks.com: libraries in many languages check these signatures.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from datetime import datetime
from hashlib import sha256
from typing import Literal

from pydantic import BaseModel, Field

from ytray.engine.base.model import Time, time_of
from ytray.engine.base.names import checked_word
from ytray.engine.state.store import Store

_PREFIX = "whsec_"
_BYTES = 32
_OLD_COUNTS_MS = 24 * 3_600_000  # after a rotation


class WebhookSecret(BaseModel):
    """What a user's webhooks are signed with; `user_id` None: those of batches without a user."""

    user_id: str | None
    secret: str = Field(description="whsec_ and 32 random bytes in Base64: the key of HMAC-SHA256.")
    previous_until: Time | None = Field(description="Until when secrets before it sign, too; null if there is none.")


def webhook_secret(store: Store, user_id: str | None) -> WebhookSecret:
    """The secret of a user; it is made when it is first asked for. Raises InvalidArguments for what is no user id."""
    return _told(user_id, _secrets(store, user_id, "make"))


def rotate_webhook_secret(store: Store, user_id: str | None) -> WebhookSecret:
    """Make a new secret; for a day the old one signs, too. Raises InvalidArguments for what is no user id."""
    return _told(user_id, _secrets(store, user_id, "rotate"))


def signed_headers(store: Store, user_id: str | None, message: str, body: bytes) -> dict[str, str]:
    """The headers that sign a message of this id, by each secret of the user that counts."""
    at = str(int(time.time()))
    signed = f"{message}.{at}.".encode() + body
    signatures = [_signature(secret, signed) for secret, _ in _secrets(store, user_id, "make")]
    return {"webhook-id": message, "webhook-timestamp": at, "webhook-signature": " ".join(signatures)}


def _secrets(store: Store, user_id: str | None, what: Literal["make", "rotate"]) -> list[tuple[str, datetime | None]]:
    """The secrets that count, the newest first, and until when each does."""
    user = "" if user_id is None else checked_word(user_id, "a user id")
    fresh = _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()
    row = [part.decode() for part in store.call("webhook_secret", user, fresh, what, _OLD_COUNTS_MS)]
    return [
        (secret, None if until == "inf" else time_of(until)) for secret, until in zip(row[::2], row[1::2], strict=True)
    ]


def _told(user_id: str | None, found: list[tuple[str, datetime | None]]) -> WebhookSecret:
    return WebhookSecret(
        user_id=user_id, secret=found[0][0], previous_until=max((until for _, until in found if until), default=None)
    )


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode()
