"""What `ytray doctor` looks at."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import redis

from ytray.engine.state.refusals import as_unavailable
from ytray.errors import PermanentError, YtrayError
from ytray.settings import settings
from ytray.system.masking import masked

_SCRIPTS = {
    "Latin, Greek, Cyrillic": "aαя",
    "Chinese, Japanese, Korean": "漢かな한",
    "Arabic, Hebrew": "عא",
    "emoji": "😀",
}
_LITTLE_DISK = 2 * 1024**3  # bytes: a few videos' worth


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    state: Literal["ok", "warning", "bad"]
    told: str


def examine() -> list[Finding]:
    """Look at everything; one finding or more for each thing."""
    found: list[Finding] = []
    for name, look in _LOOKS.items():
        try:
            found.extend(look())
        except (YtrayError, OSError, ImportError, RuntimeError) as wrong:
            found.append(Finding(name, "bad", str(wrong)))
        except redis.RedisError as wrong:
            found.append(Finding(name, "bad", str(as_unavailable(wrong) or wrong)))
    return [replace(finding, told=masked(finding.told)) for finding in found]


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} on {os.cpu_count()} cores")


def _home() -> Iterator[Finding]:
    home = settings().home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryFile(dir=home):
        free = shutil.disk_usage(home).free
    state: Literal["ok", "warning"] = "ok" if free > _LITTLE_DISK else "warning"
    yield Finding("home", state, f"{home} is writable; {free / 1024**3:.1f} GiB free")


def _parts() -> Iterator[Finding]:
    from ytray.engine.state.connection import store
    from ytray.engine.state.parts import mirrored_parts, record, trouble
    from ytray.system.parts import read_parts

    parts = read_parts(settings().home)
    if not parts and settings().redis_url is not None:
        parts = mirrored_parts(store())
    for part in parts:
        if told := trouble(part):
            yield Finding(f"part {part.name}", "bad" if part.state == "missing" else "warning", told)
        elif told := record(part):
            yield Finding(f"part {part.name}", "ok", told)
    if parts and not any(trouble(part) or record(part) for part in parts):
        yield Finding("parts", "ok", f"{', '.join(part.name for part in parts)} are up, and none was started again")


def _redis() -> Iterator[Finding]:
    from redis.exceptions import NoPermissionError

    from ytray.engine.state.connection import store
    from ytray.engine.state.schema import current, version_of
    from ytray.system import redis_server

    if settings().redis_url is None:
        path, version = redis_server.find_binary()
        yield Finding("redis", "ok", f"embedded, {path} {version}")
    where = store()
    for warning in redis_server.check(where.redis_url):
        yield Finding("redis", "warning", warning)
    try:
        info = where.redis.info()
        assert isinstance(info, dict)
        state: Literal["ok", "bad"] = "ok" if info.get("aof_last_write_status", "ok") == "ok" else "bad"
        told = f"answers; {info['used_memory_human']} used, last write {info['aof_last_write_status']}"
        yield Finding("redis", state, told)
    except NoPermissionError:
        yield Finding("redis", "ok", "answers; it forbids INFO, so memory and replicas could not be looked at")
    else:
        yield _replicas(int(info.get("connected_slaves", 0)))
    yield Finding("schema", "ok", f"{version_of(where)} is stored; this ytray understands {current()}")


def _replicas(following: int) -> Finding:
    asked = settings().redis_replicas
    if following < asked:
        told = f"{following} follow, and YTRAY_REDIS_REPLICAS asks for {asked}: nothing can be accepted"
        return Finding("replicas", "bad", told)
    if following and not asked:
        told = (
            f"{following} follow, and YTRAY_REDIS_REPLICAS is 0: a failover can lose the last jobs that were accepted"
        )
        return Finding("replicas", "warning", told)
    return Finding("replicas", "ok", f"{following} follow, {asked} must have what is accepted")


def _ray() -> Iterator[Finding]:
    import ray

    from ytray.system import ray_cluster

    running = settings().ray_address or ray_cluster.recorded(settings().home)
    if running is None:
        yield Finding("ray", "ok", f"{ray.__version__}; no cluster is running now, one is started when it is needed")
        return
    ray_cluster.ensure(settings().home, dashboard=False)
    yield from _nodes(f"{ray.__version__}, cluster {running}")
    yield from _token(str(ray.get_runtime_context().gcs_address))
    yield from _queues()


def _token(running: str) -> Iterator[Finding]:
    from ytray.system.ray_cluster import asks_for_a_token, is_on_loopback

    if asks_for_a_token(running):
        yield Finding("ray token", "ok", "whoever joins the cluster, or submits to it, has to show one")
        return
    told = f"the cluster {running} asks for no token: whoever reaches it runs code on its nodes"
    yield Finding("ray token", "ok" if is_on_loopback(running) else "warning", told)


def _privacy() -> Iterator[Finding]:
    from ytray.cli.privacy import open_doors

    doors = list(open_doors())
    for told in doors:
        yield Finding("privacy", "warning", told)
    if not doors:
        told = "Ray's token, its session and HAProxy's sockets are closed to other users of this machine"
        yield Finding("privacy", "ok", told)


def _keys() -> Iterator[Finding]:
    from ytray.api.keys import KeyRing
    from ytray.engine.state.connection import store

    ring = KeyRing(store())
    keys = ring.all()
    ended = sum(key.has_expired() for key in keys)
    if not ring.exists():
        closed = ring.is_shut()
        told = "there are none: the API lets nobody in, until `ytray keys create` makes one or `ytray keys off`"
        told = told if closed else "there are none: whoever reaches the API on this machine may do everything"
        yield Finding("keys", "warning" if closed else "ok", told)
    else:
        yield Finding("keys", "ok", f"{len(keys)} in Redis" + (f", {ended} of which have ended" if ended else ""))


def _nodes(cluster: str) -> Iterator[Finding]:
    from ytray.engine.cluster.capacity import cluster_nodes
    from ytray.engine.cluster.nodes import list_nodes

    living = [node for node in cluster_nodes() if node.is_alive]
    yield Finding("ray", "ok", f"{cluster}, {len(living)} node(s)")
    for node in list_nodes() if any(not one.is_serving for one in living) else ():
        if node.state == "draining":
            until = f"until {node.drain_deadline:%H:%M:%S} UTC" if node.drain_deadline else "without a deadline"
            told = f"draining {until}, {len(node.jobs)} jobs run there; {node.drain_reason or 'no reason was given'}"
            yield Finding(f"node {node.host}", "warning", "; ".join([told, *node.warnings]))


def _queues() -> Iterator[Finding]:
    from ytray.engine.jobs.tracking import job_tracker
    from ytray.engine.state.connection import store

    if not store().redis.exists(store().key("at_work")):
        yield Finding("tracker", "warning", "none is at work: nothing starts until one is; `ytray up` starts one")
    for queue in job_tracker.queues():
        waiting = f"; {queue.depth:,} jobs wait" if queue.depth else ""
        if queue.paused:
            yield Finding(f"queue {queue.name}", "warning", f"paused: `ytray queues resume {queue.name}`{waiting}")
        elif queue.slots:
            yield Finding(f"queue {queue.name}", "ok", f"{queue.slots} slots")
        else:
            told = f"no node offers the resource queue_{queue.name}: its jobs start when one joins"
            yield Finding(f"queue {queue.name}", "bad" if queue.depth else "warning", told + waiting)


def _imports() -> Iterator[Finding]:
    from ytray.engine.base.imports import broken_imports

    broken = broken_imports()
    for module, why in broken.items():
        told = f"YTRAY_IMPORTS: {module} cannot be imported here, so its tasks are unknown: {why}"
        yield Finding("imports", "bad", told)
    if settings().imports and not broken:
        yield Finding("imports", "ok", f"{', '.join(settings().imports)} can be imported")


def _breakers() -> Iterator[Finding]:
    from ytray.engine.run.breaker import breaker_states

    states = breaker_states()
    for state in states:
        if state.state != "closed":
            yield Finding(f"breaker {state.name}", "warning", f"{state.state} after: {state.last_error}")
    if all(state.state == "closed" for state in states):
        yield Finding("breakers", "ok", "all closed")


def _ffmpeg() -> Iterator[Finding]:
    from ytray.studio import foreign
    from ytray.studio.render.ffmpeg import binary

    told = foreign.text(foreign.run([binary(), "-version"], timeout=20).stdout)
    yield Finding("ffmpeg", "ok", told.splitlines()[0])


def _confined() -> Iterator[Finding]:
    from ytray.studio.confinement import landlock_version, seccomp_holds

    told = {
        "secrets": True,
        "connections": seccomp_holds(),
        "others' files and environments": landlock_version() >= 1,
        "signals": landlock_version() >= 6,
    }
    kept, open_ = ([what for what, is_kept in told.items() if is_kept is which] for which in (True, False))
    found = f"ffmpeg and espeak-ng are kept from {', '.join(kept)}"
    yield Finding("confined", "warning" if open_ else "ok", found + (f"; not from {', '.join(open_)}" if open_ else ""))


def _rendering() -> Iterator[Finding]:
    from ytray.studio.render.encoders import encoders
    from ytray.studio.render.text.fonts import check_drawable

    yield Finding("encoder", "ok", ", else ".join(encoder.name for encoder in encoders()))
    for script, sample in _SCRIPTS.items():
        try:
            check_drawable(sample)
        except PermanentError as missing:
            yield Finding("fonts", "warning", f"{script}: {missing}")
        else:
            yield Finding("fonts", "ok", f"{script} can be drawn")


def _voice() -> Iterator[Finding]:
    import espeakng_loader

    library = espeakng_loader.get_library_path()
    if not os.path.exists(library):
        raise OSError(f"the espeak-ng library is missing at {library}: reinstall espeakng-loader")
    yield Finding("voice", "ok", f"espeak-ng at {library}")


def _artifacts() -> Iterator[Finding]:
    import ray

    from ytray.artifacts import ArtifactStore

    store = ArtifactStore()
    store.probe()
    told = f"{store.root}: a file was written, read back and deleted"
    nodes: Callable[[], list[dict[str, object]]] = ray.nodes
    hosts = {node["NodeManagerAddress"] for node in nodes() if node["Alive"]} if ray.is_initialized() else set()
    if store.is_folder and len(hosts) > 1:
        told += f"; it must be mounted on all {len(hosts)} hosts, or YTRAY_ARTIFACTS be s3://… or gs://…"
        yield Finding("artifacts", "warning", told)
    else:
        yield Finding("artifacts", "ok", told)


def _vertex() -> Iterator[Finding]:
    from ytray.spend.prices import price_table
    from ytray.studio.providers.vertex import credentials

    given = settings()
    kinds = (given.provider_text, given.provider_speech, given.provider_image, given.provider_video)
    if "vertex" not in (given.provider, *kinds, given.coherence_judge):
        return
    wrong = []
    if not given.vertex_project:
        wrong.append("YTRAY_VERTEX_PROJECT names no Google Cloud project: set it to the one that pays")
    try:
        credentials()
    except PermanentError as none:
        wrong.append(str(none))
    models = (given.model_text, given.model_image, given.model_video, given.model_speech)
    priced = price_table()
    if unpriced := [model for model in models if model not in priced.models]:
        wrong.append(f"no price for {', '.join(unpriced)}: add it to the table that YTRAY_PRICES names")
    for told in wrong:
        yield Finding("vertex", "bad", told)
    if not wrong:
        where = f"project {given.vertex_project}, location {given.vertex_location}"
        yield Finding("vertex", "ok", f"{where}; credentials found; its models have prices of {priced.dated}")


def _limits() -> Iterator[Finding]:
    from ytray.spend.limits import check_limits

    if settings().model_limits:
        check_limits()
        yield Finding("limits", "ok", f"YTRAY_MODEL_LIMITS can be read: {settings().model_limits}")


_LOOKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "python": _python,
    "home": _home,
    "parts": _parts,
    "redis": _redis,
    "ray": _ray,
    "privacy": _privacy,
    "keys": _keys,
    "imports": _imports,
    "breakers": _breakers,
    "artifacts": _artifacts,
    "ffmpeg": _ffmpeg,
    "confined": _confined,
    "rendering": _rendering,
    "voice": _voice,
    "vertex": _vertex,
    "limits": _limits,
}
