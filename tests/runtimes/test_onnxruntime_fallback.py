"""What onnxruntime moves to another device is an error, or it is allowed and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from tests.runtimes.fake_onnxruntime import (
    BUILT_IN,
    CPU,
    HARDWARE,
    Start,
    name_device,
    open_on,
)

from genx_runtimes.backends.onnxruntime_devices import Device
from genx_runtimes.errors import BackendError, BackendUnavailableError


@pytest.mark.parametrize("device", BUILT_IN, ids=name_device)
def test_falling_back_unseen_is_an_error(device: Device, tiny_bundle: Path, start: Start) -> None:
    fake = start(device.provider, loads=[])
    with pytest.raises(BackendUnavailableError, match=f"did not load {device.provider}; it would"):
        open_on(tiny_bundle, device.name)
    assert len(fake.sessions) == 1


@pytest.mark.parametrize("device", BUILT_IN, ids=name_device)
def test_a_provider_that_refuses_is_not_replaced(
    device: Device, tiny_bundle: Path, start: Start
) -> None:
    fake = start(device.provider, refuses=[device.provider])
    with pytest.raises(BackendError) as caught:
        open_on(tiny_bundle, device.name)
    assert caught.value.message.endswith(f"on {device.provider}: no kernel for ConvTranspose")
    assert caught.value.fix.startswith("--allow-fallback runs elsewhere what it cannot, or pip")
    assert len(fake.sessions) == 1


def _chain(device: Device) -> list[str]:
    return [device.provider, *device.rest, CPU]


@pytest.mark.parametrize("device", BUILT_IN, ids=name_device)
def test_allowed_fallback_says_how_many_nodes_moved(
    device: Device, tiny_bundle: Path, start: Start
) -> None:
    fake = start(device.provider, *device.rest, nodes={device.provider: 38, CPU: 2})
    told: list[str] = []
    open_on(tiny_bundle, device.name, allow_fallback=True, tell=told.append)
    assert told == [f"2 of 40 nodes run on {CPU}, not {device.provider}"]
    (made,) = fake.sessions
    assert made["names"] == _chain(device)
    assert made["settings"].entries == {"session.record_ep_graph_assignment_info": "1"}
    assert made["enable_fallback"] == 0
    fake.nodes = {device.provider: 40}
    told.clear()
    open_on(tiny_bundle, device.name, allow_fallback=True, tell=told.append)
    assert told == []


@pytest.mark.parametrize("device", HARDWARE, ids=name_device)
def test_allowed_fallback_says_that_a_provider_is_missing(
    device: Device, tiny_bundle: Path, start: Start
) -> None:
    fake = start()
    told: list[str] = []
    open_on(tiny_bundle, device.name, allow_fallback=True, tell=told.append)
    assert told[0].startswith(f"this onnxruntime has no {device.provider}; it has {CPU}; pip ")
    assert told[-1] == f"nothing runs on {device.provider}: all on {CPU}"
    assert len(told) == len(_chain(device))
    assert fake.sessions[0]["names"] == [CPU]


@pytest.mark.parametrize("device", BUILT_IN, ids=name_device)
def test_allowed_fallback_says_that_a_provider_did_not_load(
    device: Device, tiny_bundle: Path, start: Start
) -> None:
    start(device.provider, *device.rest, loads=[])
    told: list[str] = []
    open_on(tiny_bundle, device.name, allow_fallback=True, tell=told.append)
    assert told[0] == f"onnxruntime did not load {device.provider}; it runs on {CPU}"
    assert told[-1] == f"nothing runs on {device.provider}: all on {CPU}"


@pytest.mark.parametrize("device", BUILT_IN, ids=name_device)
def test_allowed_fallback_says_why_a_provider_refused(
    device: Device, tiny_bundle: Path, start: Start
) -> None:
    chain = _chain(device)
    fake = start(*chain[:-1], refuses=chain[:-1])
    told: list[str] = []
    open_on(tiny_bundle, device.name, allow_fallback=True, tell=told.append)
    for tried, following, line in zip(chain, chain[1:], told, strict=False):
        assert line.endswith(f"on {tried}: no kernel for ConvTranspose; trying {following}")
    assert [made["names"][0] for made in fake.sessions] == chain


def test_old_releases_do_not_say_where_nodes_run(tiny_bundle: Path, start: Start) -> None:
    fake = start("CUDAExecutionProvider")
    create = fake.create

    def create_old(*args: Any, **kwargs: Any) -> Any:
        made = create(*args, **kwargs)
        del made.get_provider_graph_assignment_info
        return made

    ort.InferenceSession = create_old  # the fixture takes it back
    told: list[str] = []
    open_on(tiny_bundle, "cuda", allow_fallback=True, tell=told.append)
    assert len(told) == 1
    assert "does not say which nodes CUDAExecutionProvider left to the CPU" in told[0]


def test_what_happened_is_logged_unless_told_elsewhere(
    tiny_bundle: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    start()
    open_on(tiny_bundle, "cuda", allow_fallback=True)
    assert "has no CUDAExecutionProvider" in caplog.text
    assert {record.levelname for record in caplog.records} == {"WARNING"}
