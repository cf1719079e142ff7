"""Ray Serve as it comes: one replica of a FastAPI application whose one route does nothing."""

from __future__ import annotations

import json
import logging

import ray
from fastapi import FastAPI
from loading import best, request
from ray import serve

PORT = 8711
app = FastAPI()


@app.get("/")
async def nothing() -> dict[str, bool]:
    return {"ok": True}


@serve.deployment
@serve.ingress(app)
class Noop:
    """Nothing but the route."""


if __name__ == "__main__":
    ray.init(address="local", log_to_driver=False, logging_level=logging.ERROR)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Noop.bind())  # type: ignore[attr-defined]
    print(json.dumps(best(PORT, request("GET", "/"))))
    ray.shutdown()
