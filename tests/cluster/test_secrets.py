"""No file that describes a cluster has a secret in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cluster.reading import CLUSTER, REPOSITORY

_FILES = [
    *(path for path in CLUSTER.rglob("*") if path.is_file() and path.parent.name != "secrets"),
    REPOSITORY / "cluster.yaml",
    REPOSITORY / "docs" / "clusters.md",
]
_LITERALS = {
    "a password in a URL": r"\w+://[^\s:/@]*:(?!PASSWORD@|\$)[^\s/@]+@",
    "a key, token or digest": r"\b[0-9a-fA-F]{32,}\b|-----BEGIN|\bAIza|\bya29\.",
    "a value beside a secret's name": (
        r"(?im)^[ \t]*[\w-]*(password|secret|token|api_?key)s?[ \t]*[:=][ \t]*['\"]?(?![$/{.\[]|token\b)\w{6,}"
    ),
}


def written_in(text: str) -> list[str]:
    return [kind for kind, pattern in _LITERALS.items() if re.search(pattern, text)]


@pytest.mark.parametrize(
    "text", ["redis://:hunter22@redis:6379", "REDIS_PASSWORD=hunter22", "token: '0123456789abcdef0123456789abcdef'"]
)
def test_a_secret_would_be_found(text: str) -> None:
    assert written_in(text)


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_secret_is_written_down(path: Path) -> None:
    assert not written_in(path.read_text())
