"""The figures of the simulation, and of what a job costs, for people."""

from __future__ import annotations

from typing import Any

from benchmarks.rows import Row


def simulated_rows(scenario: dict[str, Any], costs: dict[str, Any]) -> list[Row]:
    """All of them."""
    return [*_scenario_rows(scenario), *_costs_rows(costs)]


def _told(what: str, figure: str, against: str = "") -> Row:
    """A figure without a target."""
    return Row(what, figure, against, "", "", True)


def _scenario_rows(found: dict[str, Any]) -> list[Row]:
    def both(name: str, unit: str) -> str:
        p50, p99 = found[name]
        return f"p50 {p50:,.1f} {unit}, p99 {p99:,.1f} {unit}"

    counts = (
        f"{found['completed']:,} completed, {found['committed_twice']} committed twice, {found['lost']} lost, "
        f"{found['refused']} late writes refused"
    )
    exact = not (found["committed_twice"] or found["lost"] or found["dead_letters"])
    use = f"Redis {found['us_redis']:.0f} µs, tracker without Ray {found['us_tracker']:.0f} µs of one core a job"
    memory = f"{found['bytes_waiting']:,.0f} B waiting, {found['bytes_done']:,.0f} B done"
    small, large = found["items_when_small_ended"]
    waits = ", ".join(f"{priority}: {seconds:.1f} s" for priority, seconds in found["started_after_s"].items())
    dying = f"{found['nodes'] // 10} nodes die: their {found['lost_with_nodes']} jobs elsewhere, after Ray's notice"
    again = f"half the slots busy again after {found['office_s']:.1f} s"
    return [
        Row(f"{found['accepted']:,} jobs on {found['nodes']:,} nodes", counts, "", "", "0 twice, 0 lost", exact),
        _told("the same", f"{found['per_s']:,.0f} jobs/s on {found['cores']:.1f} cores", use),
        Row("memory of a job", memory, "", "", "≤ 1,500 B", found["bytes_waiting"] <= 1500),
        _told("submitted to claimed, all queues full", both("claimed_ms", "ms")),
        _told("submitted to taken up", both("dispatched_ms", "ms")),
        Row(dying, both("elsewhere_s", "s"), "", "", "p99 ≤ 2 s", found["elsewhere_s"][1] <= 2),
        _told(f"the tracker dies with {found['in_flight_of_tracker']:,} jobs in flight", again),
        _told("started after, by priority", waits),
        _told(f"a user's {small:,} items beside another's {4 * small:,}", f"done when the other had {large:,} done"),
    ]


def _costs_rows(found: dict[str, Any]) -> list[Row]:
    scripts = {name: one for name, one in found["scripts"].items() if name != "memory"}
    memory, watch, launch = found["scripts"]["memory"], found["watch"], found["launch"]
    sizes = f"{memory['history_bytes']:.0f} B, {memory['result_bytes']:.0f} B"
    return [
        *(
            _told(f"a job: {what}", f"{one['redis_us']:.0f} µs of Redis", f"{one['client_us']:.0f} µs of the caller")
            for what, one in {**found["submission"], **scripts}.items()
        ),
        _told("a job: its launch by Ray", f"{launch['owner_us']:.0f} µs of the tracker"),
        _told(
            "a running job: its watch, each second",
            f"{watch['redis_us_a_look']:.0f} µs of Redis",
            f"{watch['bytes_a_connection']:,.0f} B a connection",
        ),
        _told("a job: its history and its result", sizes),
    ]
