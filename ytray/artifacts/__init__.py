"""Files that outlive a job and a node: kept in a folder, in S3 or Google Cloud Storage, or at any fsspec URL."""

from ytray.artifacts.digests import media_type
from ytray.artifacts.names import BOUGHT, TAKEN_IN, StoredFile, attempt_folder, is_folder, owner_and_name
from ytray.artifacts.places import OpenArtifact
from ytray.artifacts.store import ArtifactStore, readable_by

__all__ = [
    "BOUGHT",
    "TAKEN_IN",
    "ArtifactStore",
    "OpenArtifact",
    "StoredFile",
    "attempt_folder",
    "is_folder",
    "media_type",
    "owner_and_name",
    "readable_by",
]
