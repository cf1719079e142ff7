"""Run the measures on this machine, one after the other, and print them beside their targets.

Each side runs in a process of its own, with a fresh Redis (append-only file, everysec) where it uses one. The peers
are installed into an environment of their own, .tools/bench-peers. Arguments: which groups to measure (jobs, batches,
http, rendering, hosts, simulated; all without any); their sections of docs/benchmarks.md are written anew. `--quick`
runs a tenth, to try things, and writes nothing. `--nodes N` and `--jobs N` are the size of what is simulated.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row
from benchmarks.simulated.rows import simulated_rows
from ytray.system.redis_server import find_binary

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".tools" / "bench-peers"
SIDES = Path(__file__).parent / "sides"
QUICK = "--quick" in sys.argv


def _number(name: str, usual: int) -> int:
    """The number that an option is given with, as in --nodes 1000."""
    if name not in sys.argv:
        return usual
    place = sys.argv.index(name)
    number = int(sys.argv[place + 1])
    del sys.argv[place : place + 2]
    return number


NODES, SIMULATED = _number("--nodes", 100 if QUICK else 200), _number("--jobs", 5_000 if QUICK else 50_000)
JOBS = 500 if QUICK else 5000
DEEP = "1000,10000,50000" if QUICK else "1000,100000,1000000"


def main() -> None:
    """Measure, print the table, and write docs/benchmarks.md and the README's figures unless this is a quick run."""
    asked = [name for name in sys.argv[1:] if not name.startswith("-")] or list(GROUPS)
    if "hosts" in asked and os.geteuid() != 0:
        print("hosts of their own take root: the group hosts is left out", file=sys.stderr)
        asked.remove("hosts")
    if unknown := [name for name in asked if name not in GROUPS]:
        raise SystemExit(f"there is no group {unknown[0]}: there are {', '.join(GROUPS)}")
    table = Table("measure", "ytray", "against", "ratio", "target", "")
    measured = {name: GROUPS[name]() for name in asked}
    for row in (row for rows in measured.values() for row in rows):
        table.add_row(
            row.what, row.figure, row.against, row.ratio, row.target, "" if row.met else "[bold red]MISSED[/]"
        )
    Console(width=150).print(table)
    if not QUICK:
        _write(measured)


def _jobs() -> list[Row]:
    _install_peers()
    own = _side(sys.executable, "ytray_side.py", str(JOBS), DEEP)
    bare = _side(sys.executable, "ray_side.py", str(JOBS))
    dramatiq = _side(str(PEERS / "bin" / "python"), "dramatiq_side.py", str(JOBS))
    celery = _side(str(PEERS / "bin" / "python"), "celery_side.py", str(JOBS))
    return _rows(own, bare, dramatiq, celery)


def _batches() -> list[Row]:
    sizes, rows = ("500,2000", "20000") if QUICK else ("1000,10000,100000", "1000000")
    return _batch_rows(_side(sys.executable, "batch_side.py", sizes, rows))


def _http() -> list[Row]:
    plain = _side(sys.executable, "serve_side.py")
    return _http_rows(_side(sys.executable, "api_side.py", DEEP.rpartition(",")[2], "500"), plain)


def _rendering() -> list[Row]:
    scenes = ("2", "4") if QUICK else ("10", "170")
    found = _side(sys.executable, "render_side.py", *scenes)
    return _render_rows(found) + _node_rows(_side(sys.executable, "nodes_side.py", "4" if QUICK else "20"))


def _rows(own: dict[str, Any], bare: dict[str, Any], dramatiq: dict[str, Any], celery: dict[str, Any]) -> list[Row]:
    def rate(what: str, mine: float, name: str, other: float, least: float) -> Row:
        ratio = mine / other
        return Row(what, f"{mine:,.0f}/s", f"{name} {other:,.0f}/s", f"{ratio:.1f}×", f"≥ {least}×", ratio >= least)

    bulk, done = f"{JOBS:,} no-op jobs by .map, results in hand", f"{JOBS:,} no-op jobs by .map, until done"
    single = f"{JOBS:,} single .delay"
    rows = [
        rate(bulk, own["bulk_per_s"], "bare Ray, ray.get", bare["bulk_per_s"], 3.5),
        rate(bulk, own["bulk_per_s"], "Dramatiq, get_result", dramatiq["bulk_per_s"], 3),
        rate(bulk, own["bulk_per_s"], "Celery, group.get", celery["bulk_per_s"], 8),
        rate(done, own["done_per_s"], "bare Ray, ray.wait", bare["done_per_s"], 3.5),
        rate(f"{single}: submission", own["send_per_s"], "Dramatiq", dramatiq["send_per_s"], 1.5),
        rate(f"{single}: results in hand", own["single_per_s"], "Dramatiq, get_result", dramatiq["bulk_per_s"], 1),
    ]
    mine, theirs = own["idle_median_ms"], bare["idle_median_ms"]
    rows.append(
        Row(
            ".delay().get() when idle, median",
            f"{mine:.2f} ms",
            f"ray.get {theirs:.2f} ms",
            f"{mine / theirs:.1f}×",
            "≤ 3×",
            mine <= 3 * theirs,
        )
    )
    busy, idle = own["start_busy_p99_ms"], own["start_idle_p99_ms"]
    rows.append(
        Row(
            "start of a generation job, p99, 10,000 batch jobs waiting",
            f"{busy:.1f} ms (p50 {own['start_busy_p50_ms']:.1f})",
            f"idle {idle:.1f} ms (p50 {own['start_idle_p50_ms']:.1f})",
            f"{busy / idle:.1f}×",
            "≤ 2×",
            busy <= 2 * idle,
        )
    )
    for depth, found in own["depths"].items():
        size = found["bytes_a_job"]
        told = (
            f"{size:,.0f} B a job; claim of 64 {found['claim_ms']:.2f} ms; page of 100 {found['list_ms']:.1f} ms; "
            f"tracker {found['tracker_mb']:.0f} MB"
        )
        rows.append(Row(f"{int(depth):,} waiting jobs", told, "", "", "≤ 1,500 B", size <= 1500))
    return rows


def _batch_rows(found: dict[str, Any]) -> list[Row]:
    rows, first = [], next(iter(found["sizes"].values()))
    for size, one in found["sizes"].items():
        whole, least = one["submit_us"] + one["item_us"], first["submit_us"] + first["item_us"]
        told = (
            f"{whole / 1000:.2f} ms an item ({one['submit_us']:.0f} µs of it submission), ${one['usd']:.4f}; "
            f"{one['bytes']:,.0f} B in Redis; a status {one['status_ms']:.1f} ms"
        )
        flat = whole <= 1.3 * least and abs(one["usd"] - found["price"]) < 1e-9
        rows.append(
            Row(
                f"{int(size):,} items that do nothing but pay",
                told,
                f"{int(next(iter(found['sizes']))):,} items",
                f"{whole / least:.2f}×",
                "≤ 1.3×, same cost",
                flat,
            )
        )
    read = found["input"]
    memory = f"{read['client_mb']:.0f} MB more in the client, {read['bytes']:,.0f} B a row in Redis"
    told = f"{read['per_s']:,.0f} rows/s; {memory}"
    small = read["client_mb"] <= 100
    rows.append(Row(f"an input of {read['rows']:,} rows, checked and put aside", told, "", "", "≤ 100 MB", small))
    return rows


def _http_rows(api: dict[str, Any], plain: dict[str, float]) -> list[Row]:
    noop = "a FastAPI no-op on Ray Serve as it comes"
    rows = []
    for what, found, least in (("GET …/status", api["status"], 4), ("POST /api/jobs", api["submit"], 2)):
        ratio = found["rate"] / plain["rate"]
        figures = f"{found['rate']:,.0f}/s", f"{noop} {plain['rate']:,.0f}/s", f"{ratio:.1f}×"
        rows.append(Row(what, *figures, f"≥ {least}×", ratio >= least))
    slow, fast = plain["p99_ms"], api["status"]["p99_ms"]
    rows.append(
        Row("GET …/status, p99", f"{fast:.0f} ms", f"{slow:.0f} ms", f"{fast / slow:.2f}×", "≤ 0.33×", 3 * fast <= slow)
    )
    pages = api["listing"]
    ratio = pages["deep_ms"] / pages["ms"]
    deep = f"{pages['deep_ms']:.1f} ms", f"{pages['jobs']:,} stored: {pages['ms']:.1f} ms", f"{ratio:.1f}×"
    rows.append(Row(f"a page of 100, {pages['deep_jobs']:,} stored", *deep, "≤ 1.3×", ratio <= 1.3))
    events = api["events"]
    told = f"{events['lost']} of {events['clients'] * events['events']:,} events lost; {events['per_s']:,.0f} events/s"
    memory = f"{events['memory_mb']:.0f} MB in the replica"
    rows.append(
        Row(f"{events['clients']} event streams on one replica", told, memory, "", "none lost", not events["lost"])
    )
    return rows


def _render_rows(found: dict[str, Any]) -> list[Row]:
    own, encoder, moviepy = found["own_seconds"], found["encoder_seconds"], found["moviepy_seconds"]
    whole = f"{found['video_seconds']:.0f} s of 1080×1920, ten scenes, captions, music"
    changed, second = found["changed_seconds"] / own, found["moviepy_renderer_seconds"]
    ready = f"libx264 alone on ready frames {encoder:.1f} s"
    memory = f"{found['peak_mb']:.0f} MB"
    longer = f"{found['long_peak_mb']:.0f} MB in {found['long_own_seconds']:.0f} s"
    least = max(found["peak_mb"], found["long_peak_mb"])
    return [
        Row(f"rendering {whole}", f"{own:.1f} s", ready, f"{own / encoder:.2f}×", "≤ 1.25×", own <= 1.25 * encoder),
        Row(
            "the same", f"{own:.1f} s", f"MoviePy {moviepy:.1f} s", f"{moviepy / own:.1f}×", "≥ 7×", moviepy >= 7 * own
        ),
        Row("the same", f"{own:.1f} s", f"our renderer by MoviePy {second:.1f} s", f"{second / own:.1f}×", "", True),
        Row("the same, peak memory", memory, "", "", "≤ 1,500 MB", found["peak_mb"] <= 1500),
        Row(f"{found['long_seconds']:.0f} s of it, peak memory", longer, "", "", "≤ 1,500 MB", least <= 1500),
        Row("its quality gate", f"{found['gate_seconds']:.1f} s", "", "", "", True),
        Row(
            "one caption changed",
            f"{found['changed_seconds']:.1f} s",
            f"all of it {own:.1f} s",
            f"{changed:.2f}×",
            "≤ 0.15×",
            changed <= 0.15,
        ),
    ]


def _node_rows(found: dict[str, Any]) -> list[Row]:
    told = {"measured": "measured", "simulated": "the same order played through with measured durations"}
    return [
        Row(
            f"{found['scenes']} scenes ({found['parts']} parts) on {nodes} nodes",
            f"{one['wall']:.1f} s",
            how,
            f"{one['efficiency']:.2f} of the nodes' time busy",
            "≥ 0.85",
            one["efficiency"] >= 0.85,
        )
        for kind, how in told.items()
        for nodes, one in found[kind].items()
    ]


def _simulated() -> list[Row]:
    return simulated_rows(
        _module("benchmarks.simulated", str(NODES), str(SIMULATED)),
        _module("benchmarks.simulated.costs", "2000" if QUICK else "10000"),
    )


def _hosts() -> list[Row]:
    found = _side(sys.executable, "hosts_side.py", "0.5" if QUICK else "5")
    speeds = {int(hosts): speed for hosts, speed in found["throughput"].items()}
    rows = [
        Row(
            f"sleeping jobs on {hosts} hosts",
            f"{speed:.2f}/s",
            f"{hosts} × one host's {speeds[1]:.2f}/s",
            f"{speed / (hosts * speeds[1]):.3f}",
            "≥ 0.95",
            speed >= 0.95 * hosts * speeds[1],
        )
        for hosts, speed in speeds.items()
        if hosts > 1
    ]
    for turn, death in enumerate(found["death"], 1):
        rows.append(
            Row(
                f"a host falls silent ({turn}): its {death['jobs']} jobs run elsewhere",
                f"after {death['elsewhere']:.1f} s",
                f"Ray says so after {death['detected']:.1f} s",
                f"{death['elsewhere'] - death['detected']:+.1f} s",
                "≤ Ray's detection + 2 s",
                death["elsewhere"] <= death["detected"] + 2,
            )
        )
    head = found["head"]
    told = f"{head['dispatched']:.1f} s after its start, Ray's own start being {head['up']:.1f} s"
    rows.append(Row("a new head: the first job begins", told, "", "", "", True))
    return rows


GROUPS = {
    "jobs": _jobs,
    "batches": _batches,
    "http": _http,
    "rendering": _rendering,
    "hosts": _hosts,
    "simulated": _simulated,
}
_ABOUT = {
    "jobs": "Redis with its append-only file (everysec) over a Unix socket. Peers: Celery prefork 4, acks_late, "
    "events, result backend; Dramatiq 2 processes × 8 threads, results; bare Ray tasks, which keep no state at all. "
    "`Until done` ends when the last job is COMPLETED (Ray: when ray.wait has them all) and fetches no result; "
    "`results in hand` ends when the caller has every result as a Python value, ytray's by `ytray.get`. Celery and "
    "Dramatiq tell of an end by its result alone. Best of 3 after a warm-up of each side.",
    "batches": "Each item is a job that makes one paid call of a seller that answers at once: intent, reservation and "
    "settlement in the spend journal, fence, result, the batch's counters. Slots: one a core.",
    "http": "One replica behind HAProxy; load from processes of its own.",
    "hosts": "Hosts are network namespaces of this machine, each with its own processes and files, and two jobs at "
    "once; jobs sleep for five seconds, six of them a slot, and the worker processes are there. A host that dies says "
    "no goodbye: its cable is cut first. Ray's health checks are as it comes; a lease is 30 s. As root.",
    "simulated": "The real tracker, feeder and store with a real Redis; nodes are played (`benchmarks/simulated`), so "
    "no time of Ray's is in the first rows. Jobs are sleeps of lognormal length. docs/scaling.md tells what follows.",
    "rendering": "All sides encode with the same settings of libx264 (veryfast, crf 20). ytray's and the encoder's "
    "times are medians of 3, taken in turn. MoviePy is a script as people write it: its default compositing, no lit "
    'word, no music. Our renderer by MoviePy is `compose` with `renderer="moviepy"`, as fast as we could make it. '
    "Nodes are raylets on this machine, one media slot each; for more nodes than cores the parts' measured durations "
    "are played through in the scheduler's order.",
}


def _side(python: str, program: str, *arguments: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ytray-bench-") as name:
        folder = Path(name)
        server = _redis(folder)
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("YTRAY_")},
            "BENCH_REDIS": f"unix://{folder}/redis.sock",
            "BENCH_FOLDER": name,
            "YTRAY_HOME": f"{name}/home",
            "YTRAY_REDIS_URL": f"unix://{folder}/redis.sock",
            "PYTHONPATH": str(SIDES),
        }
        try:
            done = subprocess.run(
                [python, str(SIDES / program), *arguments],
                env=environment,
                cwd=SIDES,
                capture_output=True,
                text=True,
                timeout=1500,
                check=False,
            )
        finally:
            server.terminate()
            server.wait()
        if done.returncode != 0:
            raise SystemExit(f"{program} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
        return found


def _module(name: str, *arguments: str) -> dict[str, Any]:
    """What a program prints that brings its own system."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("YTRAY_")}
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=7200, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{name} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    return found


def _redis(folder: Path) -> subprocess.Popen[bytes]:
    binary, version = find_binary()
    packed = "hash-max-listpack-value" if version >= "7" else "hash-max-ziplist-value"
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "everysec", f"--{packed}", "1024"]
    server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
    while not socket.exists():
        time.sleep(0.01)
    return server


def _install_peers() -> None:
    if (PEERS / "bin" / "celery").exists() and (PEERS / "bin" / "dramatiq").exists():
        return
    uv = os.environ.get("UV", "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(PEERS)], check=True)
    requirements = str(Path(__file__).parent / "peers.txt")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", str(PEERS / "bin/python"), "-r", requirements], check=True
    )


def _write(measured: dict[str, list[Row]]) -> None:
    """Replace the sections of what was measured in docs/benchmarks.md, and the rows of jobs in the README, too."""
    docs, readme = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
    for name, rows in measured.items():
        lines = [
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), Python "
            f"{platform.python_version()}, Ray {ray.__version__}, Redis {find_binary()[1]}. {_ABOUT[name]}",
            "",
            "| measure | ytray | against | ratio | target | met |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {r.what} | {r.figure} | {r.against} | {r.ratio} | {r.target} | {'yes' if r.met else 'no'} |"
            for r in rows
        ]
        _replace(docs, name, lines)
        short = [f"| {r.what} | {r.figure} | {r.against} | {r.ratio} |" for r in rows if r.ratio and r.against]
        if name == "jobs":
            _replace(readme, name, ["| measure | ytray | against | ratio |", "|---|---|---|---|", *short])


def _replace(file: Path, name: str, lines: list[str]) -> None:
    """Put lines between the marks of a group."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = file.read_text().partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{file.name} has no place for {name}: it needs {start.strip()} and {end}")
    file.write_text(before + start + "\n".join(lines) + "\n" + end + after)


if __name__ == "__main__":
    main()
