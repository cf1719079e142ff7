"""The job queue; it knows nothing of videos. docs/architecture.md shows its rooms, and which may import which."""

from ytray.engine.moved import install

install()
