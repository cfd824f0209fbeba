"""Finding Ray: where it is looked for, and what is said where it is not."""

from __future__ import annotations

import sys

import pytest

from genx_runtimes.errors import BackendUnavailableError, InputError
from genx_runtimes.generate import RunOptions, find_runner


def test_a_missing_ray_is_one_line_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendUnavailableError, match=r"needs .*ray.*; pip install 'genx\[ray\]'"):
        find_runner("ray")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ray://127.0.0.1:10001", "run genx on a node of the cluster"),
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(address: str, told: str) -> None:
    pytest.importorskip("ray", reason="--on ray is tested where genx[ray] is installed")
    from genx_runtimes.generate.ray_cluster import join_cluster

    with (
        pytest.raises(InputError, match=told),
        join_cluster(RunOptions(address=address), {"CPU": 1}),
    ):
        pass


def test_an_address_without_ray_is_refused() -> None:
    from genx_cli.generate_options import RunChoice

    assert RunChoice(on="ray", ray_address="auto").settle_address() == "auto"
    with pytest.raises(InputError, match="--ray-address has no meaning with --on local"):
        RunChoice(ray_address="auto").settle_address()
