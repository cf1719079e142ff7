"""Rendering and the artifact store: a timeline's files are fetched, rendered parts are kept by what went into them."""

from __future__ import annotations

from pathlib import Path

from ytray.artifacts import ArtifactStore
from ytray.errors import PermanentError
from ytray.studio.render.timeline import Timeline


class KeptArtifacts:
    """The scenes and sounds that any job of this system has rendered."""

    def __init__(self) -> None:
        self._store = ArtifactStore()

    def has(self, name: str) -> bool:
        """Whether the part is kept."""
        return self._store.has_kept(self._store.uri(Path(name).stem, name))

    def find(self, name: str, folder: Path) -> Path | None:
        """The part's file, or None; where the store is remote, a copy in `folder`."""
        try:
            return self._store.fetch_kept(self._store.uri(Path(name).stem, name), folder)
        except PermanentError:  # also where clean-up has just taken it
            return None

    def keep(self, name: str, file: Path) -> None:
        """Keep a part."""
        self._store.publish(file, Path(name).stem, name)


def fetched(timeline: Timeline, folder: Path) -> Timeline:
    """The timeline with its artifacts as local files, in `folder` where the store is remote or they have own names.

    Raises PermanentError for a file that is no artifact of this system, or is no longer there.
    """
    store = ArtifactStore()

    def local(uri: str | None, place: str) -> str | None:
        if uri is None:
            return None
        own = folder / place
        own.mkdir(exist_ok=True)
        file = store.fetch(uri, own)
        name = timeline.names.get(uri)
        if name is None or name in (".", "..", file.name):
            return str(file)
        named = own / "named" / name
        named.parent.mkdir()
        named.symlink_to(file.resolve())
        return str(named)

    scenes = [
        scene.model_copy(
            update={what: local(getattr(scene, what), f"{place}-{what}") for what in ("picture", "clip", "narration")}
        )
        for place, scene in enumerate(timeline.scenes)
    ]
    music = timeline.music and timeline.music.model_copy(update={"file": local(timeline.music.file, "music")})
    return timeline.model_copy(update={"scenes": scenes, "music": music})
