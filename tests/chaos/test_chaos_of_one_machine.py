"""Ten minutes on one machine, under videos and short jobs: every part of it is killed, again and again."""

from __future__ import annotations

import random
import time
from collections import defaultdict

import pytest

from tests.serve.conftest import Running
from tests.serve.conftest import running as running
from tests.serve.killing import Healed, Load, completions, kill_and_measure, living

SECONDS = 600.0
SHORT = 300


@pytest.mark.chaos
def test_one_machine_heals_itself_whichever_part_is_killed(running: Running) -> None:
    home = running.folder / "home"
    chance = random.Random(20261201)
    parts = sorted(living(home))
    ends = time.monotonic() + SECONDS
    healed: list[Healed] = []
    load = Load(running.url, short=SHORT, seconds=SECONDS, videos=True)
    try:
        order = list(parts)  # first in turn, then in random order
        while time.monotonic() < ends or len(healed) < len(parts):
            for part in order:
                healed.append(kill_and_measure(home, part, running.url))
                print(healed[-1], flush=True)
                if time.monotonic() > ends and len(healed) >= len(parts):
                    break
            chance.shuffle(order)
    finally:
        load.stop()
    print(f"\n{len(healed)} deaths; {SHORT} short jobs and {len(load.videos)} videos were accepted meanwhile")
    by_part: dict[str, list[Healed]] = defaultdict(list)
    for one in healed:
        by_part[one.part].append(one)
    for part in parts:
        jobs, whole = ([getattr(one, what) for one in by_part[part]] for what in ("next_job", "whole"))
        print(f"{part:<22} {len(jobs)} times; next job after {min(jobs):.1f} to {max(jobs):.1f} s, whole after "
              f"{min(whole):.1f} to {max(whole):.1f} s")  # fmt: skip
    assert len(set(load.jobs)) == SHORT
    assert set(completions(home, [*load.jobs, *load.videos], 300).values()) == {1}
    assert [str(one) for one in healed if not one.is_in_time()] == []
