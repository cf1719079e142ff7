"""What was bought, kept in the artifact store under the key of its call, for whoever wants it next."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ytray.artifacts import BOUGHT, ArtifactStore
from ytray.engine.base.context import current_job
from ytray.spend.buying import Asset
from ytray.spend.model import Call


def keep(data: bytes, call: Call, suffix: str) -> str:
    """Keep a file that a call brought; returns its URI."""
    with tempfile.TemporaryDirectory(prefix="ytray-") as folder:
        file = Path(folder) / f"asset.{suffix}"
        file.write_bytes(data)
        return ArtifactStore().publish(file, f"{BOUGHT}{call.key(current_job().user_id or '')}", file.name)


def is_kept(asset: Asset) -> bool:
    """Whether an asset can be used: it is not marked as unusable, and its file, if it has one, is still there."""
    return "unusable" not in asset and ("uri" not in asset or ArtifactStore().has_kept(asset["uri"]))


def fetched(uri: str, folder: Path) -> Path:
    """A local file with what was kept."""
    return ArtifactStore().fetch_kept(uri, folder)
