"""cluster/on-premise.yaml is run, from `ray up` to `ray down`."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.cluster.machines import site
from tests.cluster.reading import wanted


@pytest.mark.chaos
@pytest.mark.timeout(420)
def test_a_cluster_of_own_machines_is_launched_works_and_is_stopped(
    until: Callable[[Callable[[], object], float], None],
) -> None:
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("machines of their own take root")
    wanted("rsync", "rsync")
    with site() as here:
        here.ray("up", "-y", "--no-config-cache", str(here.config))
        until(lambda: here.worker.processes("raylet"), 120)
        submit = 'RAY_ADDRESS=auto ytray submit generate_hook --args \'{"prompt": "why cats purr"}\' --wait'
        assert "know why cats purr" in here.on_the_head(submit)
        # The head offers no slots, so the job ran on the worker, which has the secrets that it needs and no others.
        kept = {path.name for path in (here.worker.folder / "home" / ".ytray-cluster").iterdir()}
        assert kept == {"env", "token"}
        assert not (here.worker.folder / "home" / "ray_bootstrap_key.pem").exists()
        here.ray("down", "-y", str(here.config))
        until(lambda: not here.head.processes("raylet"), 30)
