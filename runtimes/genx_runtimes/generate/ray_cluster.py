"""The Ray that shards are made on: one that is there already, or one for the length of a run."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

from genx_runtimes.child import one_line
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import BackendUnavailableError, InputError
from genx_runtimes.generate.runners import RunOptions

_START = "local"
_KNOCK_S = 10
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # not 15: local mode does not give way to others either
    # On stderr it says of each pool what would be if the driver died. The logs have less for it.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@contextmanager
def join_cluster(options: RunOptions, needs: Mapping[str, float]) -> Iterator[None]:
    """Connect to Ray for the length of the block; to that of this process where there is one.

    Args:
        options: the address, the workers, and who is told where the work is done.
        needs: what a worker takes of Ray's resources.

    Raises:
        InputError: there is no cluster at the address.
        BackendUnavailableError: Ray does not start.
    """
    if ray.is_initialized():
        yield
        return
    address = options.address or os.environ.get("RAY_ADDRESS") or _START
    if "://" in address:
        raise InputError(
            f"{address} is an address of Ray's client, which Ray Data does not work through",
            fix="run genx on a node of the cluster with --ray-address auto, or as a Ray job",
        )
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        _connect(address, options.workers, needs)
        options.tell(_describe(address))
        yield
    finally:
        ray.shutdown()


def count_places(needs: Mapping[str, float], options: RunOptions) -> int:
    """Return how many workers the nodes that are there have room for.

    Where they have none, that is told, and 1 returned: a cluster may grow.
    """
    places = sum(_fit(node["Resources"], needs) for node in ray.nodes() if node["Alive"])
    if places == 0:
        told = " and ".join(f"{amount:g} {name}" for name, amount in needs.items())
        options.tell(f"no node of Ray has {told} for a worker; it waits until there is one")
    return max(1, places)


@contextmanager
def quieten() -> Iterator[None]:
    """Keep Ray's messages from the terminal; its logs have them."""
    loggers = [logging.getLogger("ray"), logging.getLogger("ray.data")]
    handlers = [
        h for each in loggers for h in each.handlers if isinstance(h, logging.StreamHandler)
    ]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


def _connect(address: str, workers: int | None, needs: Mapping[str, float]) -> None:
    settings: dict[str, object] = {}
    if address == _START:
        cpus = needs["CPU"] * workers if workers else count_usable_cores()
        settings = {"num_cpus": max(int(cpus), int(needs["CPU"])), "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        with _hide_stderr():  # on which the log level above is told
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **settings)
    except Exception as err:  # Ray raises that itself where a node does not start in time
        if address == _START:
            raise BackendUnavailableError(f"Ray does not start: {one_line(err)}") from err
        raise InputError(
            f"no Ray cluster answers at {address}: {one_line(err)}",
            fix="ray status tells whether there is one; without --ray-address one is started here",
        ) from err
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # ray.init sets its own


def _knock(address: str) -> None:
    """Raise OSError at once where nothing listens; Ray tries for two minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()


@contextmanager
def _hide_stderr() -> Iterator[None]:
    """Keep what this process writes to stderr, Ray's C++ part too, from whoever reads it."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - not a path
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _describe(address: str) -> str:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    cpus = sum(int(node["Resources"].get("CPU", 0)) for node in nodes)
    gpus = sum(int(node["Resources"].get("GPU", 0)) for node in nodes)
    where = "started on this machine" if address == _START else f"at {address}"
    return f"Ray {where}: {len(nodes)} nodes, {cpus} CPUs, {gpus} GPUs"


def _fit(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """Return how many workers a node has room for."""
    return min(int(resources.get(name, 0) // amount) for name, amount in needs.items())
