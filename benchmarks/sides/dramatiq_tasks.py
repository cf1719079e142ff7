"""The broker and the actor of Dramatiq's side."""

from __future__ import annotations

import os

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

client = redis.Redis.from_url(os.environ["BENCH_REDIS"])
broker = RedisBroker(client=client)
backend = RedisBackend(client=redis.Redis.from_url(os.environ["BENCH_REDIS"]))
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(number: int) -> int:
    """Do nothing."""
    return number
