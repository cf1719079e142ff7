"""Rendered scenes kept in the artifact store by what went into them: a changed caption renders one scene anew."""

from __future__ import annotations

from pathlib import Path

from ytray.artifacts import ArtifactStore

_NAME = "scene.mp4"


class ArtifactScenes:
    """The scenes that any job of this system has rendered."""

    def __init__(self) -> None:
        self._store = ArtifactStore()

    def find(self, key: str, folder: Path) -> Path | None:
        """The scene's file, or None; where the store is remote, a copy in `folder`."""
        uri = self._store.uri(_owner(key), _NAME)
        if not self._store.exists(uri):
            return None
        own = folder / f"kept-{key}"
        own.mkdir()
        return self._store.fetch(uri, own)

    def keep(self, key: str, file: Path) -> None:
        """Keep a scene."""
        self._store.publish(file, _owner(key), _NAME)


def _owner(key: str) -> str:
    return f"scene-{key}"
