"""Rendered parts kept in the artifact store by what went into them: a changed caption renders one scene anew."""

from __future__ import annotations

from pathlib import Path

from ytray.artifacts import ArtifactStore


class KeptArtifacts:
    """The scenes and sounds that any job of this system has rendered."""

    def __init__(self) -> None:
        self._store = ArtifactStore()

    def find(self, name: str, folder: Path) -> Path | None:
        """The part's file, or None; where the store is remote, a copy in `folder`."""
        uri = self._store.uri(Path(name).stem, name)
        return self._store.fetch(uri, folder) if self._store.exists(uri) else None

    def keep(self, name: str, file: Path) -> None:
        """Keep a part."""
        self._store.publish(file, Path(name).stem, name)
