"""URLs as they may be printed and logged: much of one can be a secret."""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<user>\S*@)?(?P<host>[^\s/?#\"',@]*)"
    r"(?P<path>[^\s?#\"',]*)(?P<rest>[?#][^\s\"',]*)?"
)


def masked(text: str) -> str:
    """The text with *** for the user info and the query of each URL in it, and for the path of one over HTTP."""
    return _URL.sub(_masked_url, text)


def _masked_url(found: re.Match[str]) -> str:
    path = found["path"]
    if found["scheme"].lower() in ("http", "https") and path not in ("", "/"):
        path = "/***"  # of a webhook it is what lets one in
    user, rest = "***@" if found["user"] else "", "?***" if found["rest"] else ""
    return f"{found['scheme']}://{user}{found['host']}{path}{rest}"
