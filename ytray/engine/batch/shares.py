"""Who gets how much of the cluster: equal between users, and by priority between the batches of one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that has work: how much it counts beside its user's others, and what part of the cluster it can use."""

    batch: str
    user: str
    weight: float
    use: float


def shares(claims: list[Claim]) -> dict[str, float]:
    """The part of the cluster, 0 to 1, that each batch may use; what one cannot use goes to the others."""
    by_user: dict[str, list[Claim]] = {}
    for claim in claims:
        by_user.setdefault(claim.user, []).append(claim)
    of_users = _divide(1.0, {user: (1.0, sum(claim.use for claim in own)) for user, own in by_user.items()})
    found: dict[str, float] = {}
    for user, own in by_user.items():
        found |= _divide(of_users[user], {claim.batch: (claim.weight, claim.use) for claim in own})
    return found


def _divide(whole: float, wanted: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Divide by weight; who can use less than their part gets just that, and the rest is divided again."""
    given: dict[str, float] = {}
    left = dict(wanted)
    while left:
        total = sum(weight for weight, _ in left.values())
        content = {name: use for name, (weight, use) in left.items() if use <= whole * weight / total}
        if not content:
            return given | {name: whole * weight / total for name, (weight, _) in left.items()}
        for name, use in content.items():
            given[name] = use
            whole -= use
            del left[name]
        whole = max(0.0, whole)
    return given
