"""The seam between a plan and whatever makes its shards: a registry of runners.

A runner hands shards to processes, here or elsewhere, each of which has one `ShardMaker`, and
yields one `Outcome` for each shard that it was given, in any order, as soon as there is one. A
shard whose process died has an outcome too: a failure. The rest is not its business: what failed
is given to it again by `generate`, which also keeps the ledger. Closing the generator ends it.
A new runner costs one file here and one line in `RUNNERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from genx_runtimes.errors import BackendUnavailableError, InputError, suggest
from genx_runtimes.generate.plan import Plan
from genx_runtimes.generate.record import Outcome

LOCAL = "local"


def _tell_nobody(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Where shards are made; nothing of this changes them.

    Args:
        workers: processes, each with a session; None is what the runner finds best.
        address: of a cluster; None where there is none.
        tell: called with a line that says where the work is done, where the runner chooses that.
    """

    workers: int | None = None
    address: str | None = None
    tell: Callable[[str], None] = _tell_nobody

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers is {self.workers}, expected 1 or more")


Outcomes = Generator[Outcome, None, None]
# Gets the plan and the indices of the shards to make.
Runner = Callable[[Plan, Sequence[int], RunOptions], Outcomes]

# name, of the extra too: the module in this package, the `Runner` in it and what both need
RUNNERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    LOCAL: ("local", "run_local", ()),
    "ray": ("on_ray", "run_on_ray", ("ray", "pyarrow")),
}


def find_runner(name: str) -> Runner:
    """Return the runner of a name.

    Raises:
        InputError: there is none of that name.
        BackendUnavailableError: it needs a package that is not installed.
    """
    if name not in RUNNERS:
        raise InputError(f"unknown runner {name!r}", fix=suggest(name, RUNNERS))
    module, function, packages = RUNNERS[name]
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise BackendUnavailableError(
            f"--on {name} needs {', '.join(missing)}", fix=f"pip install 'genx[{name}]'"
        )
    return cast("Runner", getattr(import_module(f"genx_runtimes.generate.{module}"), function))
