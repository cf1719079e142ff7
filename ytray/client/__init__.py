"""The Python client of ytray's HTTP API, for programs that run outside the cluster.

from ytray.client import Client

with Client("https://ytray.example.org", key="…") as ytray:
    job_id = ytray.create_video("Why do cats purr?")
    ytray.wait(job_id)
    ytray.download(job_id, "video.mp4", Path("cats.mp4"))
"""

from ytray.client.asynchronous import AsyncClient
from ytray.client.model import Artifact, BatchChoices, Ended, Event, LogPage, TaskInfo
from ytray.client.synchronous import Client

__all__ = ["Artifact", "AsyncClient", "BatchChoices", "Client", "Ended", "Event", "LogPage", "TaskInfo"]
