"""How far a case is from what the machine can do: costs counted at export over measured ceilings.

Source: Williams, Waterman, Patterson, "Roofline", CACM 2009: a graph takes at least as long as its
multiply-adds at the rate of the best matrix product, and as its bytes at that of a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from genx_runtimes.bench.figures import Ceiling, Cost, GraphLimit, Limit, Node
from genx_runtimes.bench.metered import Calls
from genx_runtimes.bench.node_profile import Profile, ProfiledNode
from genx_runtimes.manifest import GraphCost, Manifest, VariantSpec

# The dtype of a precision's products; engines without it compute them in float32.
_DTYPES = {"fp16": "fp16", "int8": "int8"}


class _Work(NamedTuple):
    """What one pass asks of a graph at least."""

    calls: Calls
    macs: int
    weight_bytes: int
    io_bytes: int

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.io_bytes


def choose_ceiling(
    ceilings: Sequence[Ceiling], *, backend: str, precision: str, threads: int
) -> Ceiling | str:
    """Return the ceiling that bounds a case, or why there is none.

    Args:
        ceilings: of this machine.
        backend: as the case has it, NAME or NAME:DEVICE.
        precision: of the variant; where the engine does not multiply in it, float32 bounds it.
        threads: of all instances together.
    """
    alike = [c for c in ceilings if (c.backend, c.threads) == (backend, threads)]
    for dtype in dict.fromkeys((_DTYPES.get(precision, "fp32"), "fp32")):
        for ceiling in alike:
            if ceiling.dtype == dtype and ceiling.macs_per_s and ceiling.bytes_per_s:
                return ceiling
    reasons = dict.fromkeys(c.failure for c in alike if c.failure)
    return "; ".join(reasons) or f"no ceiling of {backend} was measured at {threads} threads"


def list_rates(ceilings: Sequence[Ceiling], *, backend: str, threads: int) -> dict[str, float]:
    """Return the multiply-adds a second of each dtype that an engine multiplies in."""
    alike = (c for c in ceilings if (c.backend, c.threads) == (backend, threads))
    return {ceiling.dtype: ceiling.macs_per_s for ceiling in alike if ceiling.macs_per_s}


def find_limit(
    manifest: Manifest,
    variant: VariantSpec,
    profile: Profile,
    *,
    batch: int,
    engine_ms: float,
    ceiling: Ceiling,
    rates: Mapping[str, float],
) -> Limit | str:
    """Return how far a case is from the limit, or why that is not known.

    The multiply-adds are those of the variant that has the fewest, of any precision: a rewritten
    form may multiply with zeros, which the task does not ask for. The bytes are the fewest of the
    variants of the same precision.

    Args:
        manifest: of the bundle.
        variant: what was run.
        profile: of the same case.
        batch: samples that one pass of the loop draws.
        engine_ms: of a pass, in the engine, as the case measured it.
        ceiling: from `choose_ceiling`.
        rates: from `list_rates`; a node is judged by that of its own dtype.
    """
    works = []
    for calls in profile.calls:
        least = _find_least(manifest, variant, calls.component)
        if least is None:
            return (
                f"the multiply-adds of {calls.component!r} are not in the bundle: it was exported "
                f"before they were counted, or they cannot be"
            )
        works.append(
            _Work(
                calls=calls,
                macs=calls.samples * least.macs,
                weight_bytes=calls.calls * least.weight_bytes,
                io_bytes=calls.samples * least.io_bytes,
            )
        )
    macs = sum(work.macs for work in works)
    least_s, bound = _find_bound(macs, sum(work.bytes for work in works), ceiling)
    return Limit(
        cost=Cost(
            macs=macs // batch,
            weight_bytes=sum(work.weight_bytes for work in works),
            io_bytes=sum(work.io_bytes for work in works) // batch,
            steps=max(work.calls.calls for work in works),
        ),
        dtype=ceiling.dtype,
        macs_per_s=macs / engine_ms * 1e3,
        ceiling=bound,
        of_limit=least_s / engine_ms * 1e3,
        graphs=tuple(_find_graph_limit(work, ceiling) for work in works),
        nodes=tuple(_find_node(node, variant, profile, rates) for node in profile.nodes),
        reason=profile.failure,
    )


def _find_least(manifest: Manifest, variant: VariantSpec, component: str) -> GraphCost | None:
    """Return the least of the variants' costs of a graph; None where they are not known."""
    known = [v for v in manifest.variants if component in v.costs]
    alike = [v.costs[component] for v in known if v.precision == variant.precision]
    if not alike:
        return None
    return GraphCost(
        macs=min(v.costs[component].macs for v in known),
        weight_bytes=min(cost.weight_bytes for cost in alike),
        io_bytes=min(cost.io_bytes for cost in alike),
    )


def _find_bound(
    macs: int, moved: int, ceiling: Ceiling
) -> tuple[float, Literal["compute", "memory"]]:
    """Return the least time in seconds, and what it goes to."""
    assert ceiling.macs_per_s
    assert ceiling.bytes_per_s
    computing, moving = macs / ceiling.macs_per_s, moved / ceiling.bytes_per_s
    return (computing, "compute") if computing >= moving else (moving, "memory")


def _find_graph_limit(work: _Work, ceiling: Ceiling) -> GraphLimit:
    least_s, bound = _find_bound(work.macs, work.bytes, ceiling)
    return GraphLimit(
        component=work.calls.component,
        calls=work.calls.calls,
        ms=work.calls.ms,
        macs=work.macs,
        ceiling=bound,
        of_limit=least_s / work.calls.ms * 1e3,
    )


def _find_node(
    node: ProfiledNode, variant: VariantSpec, profile: Profile, rates: Mapping[str, float]
) -> Node:
    """Return a node with the multiply-adds that the graph which ran has there."""
    samples = next(c.samples for c in profile.calls if c.component == node.component)
    cost = variant.costs.get(node.component)
    found = [n.macs for n in cost.nodes if {n.name, n.output} & set(node.origins)] if cost else []
    macs = sum(found) * samples if found else None
    rate = rates.get(node.dtype)
    return Node(
        component=node.component,
        name=node.name,
        kind=node.kind,
        ms=node.ms,
        share=node.share,
        macs=macs,
        of_limit=None if macs is None or not rate else macs / rate / node.ms * 1e3,
        dtype=node.dtype,
    )
