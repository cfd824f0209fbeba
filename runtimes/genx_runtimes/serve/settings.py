"""How a server runs, and what it refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from genx_runtimes.errors import InputError, suggest

_MIN_KEY = 16
_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[?[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*\]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask for.

    Args:
        body_bytes: of a request; compressed and not.
        head_bytes: of a request's line and headers; more are answered with 431.
        read_seconds: until a head, and then a body, is here, or is answered with 408; a client that
            reads nothing of its answer for so long is left.
        connections: open at a time; more are closed with 503.
        n: samples.
        steps: of a diffusion solver.
        length: of a sequence or a text.
        values: that are drawn for all samples of a request, or come out, whichever are more.
        pixels: of an uploaded picture, and of what it is translated to.
        in_progress: requests at a time; more are answered with 429.
        queue: samples that wait; more are answered with 429.
        seconds: until a request is dropped and answered with 504, loading and waiting included;
            a stream that has begun ends with an error then.
    """

    body_bytes: int = 16 * 1024 * 1024
    head_bytes: int = 32 * 1024
    read_seconds: float = 30.0
    connections: int = 512
    n: int = 256
    steps: int = 1000
    length: int = 65536
    values: int = 67_108_864
    pixels: int = 16_000_000
    in_progress: int = 256
    queue: int = 1024
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """How bundles are served.

    Args:
        backend: NAME, NAME:DEVICE or "auto".
        precision: a variant's name; None takes the first, or with "auto" the fastest.
        threads: engine threads of each instance; None shares the usable cores out.
        instances: sessions of each bundle.
        max_batch: samples of a call at most; None takes 16, or what the bundle allows.
        max_queue_delay_s: how long a sample may wait for others to share its call.
        memory_bytes: of the loaded bundles together; None is no bound. The one that was not used
            for longest is unloaded; it is loaded again when it is asked for.
        watch_s: seconds between looks for a changed bundle; 0 never looks.
        api_keys: one of them is asked for, if there are any.
        allowed_hosts: names that the header `Host` may have, without a port; none are any.
        limits: what a request may ask for.
    """

    backend: str = "onnxruntime"
    precision: str | None = None
    threads: int | None = None
    instances: int = 1
    max_batch: int | None = None
    max_queue_delay_s: float = 0.005
    memory_bytes: int | None = None
    watch_s: float = 2.0
    api_keys: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise InputError(f"instances is {self.instances}, expected 1 or more")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads is {self.threads}, expected 1 or more")
        if self.max_batch is not None and self.max_batch < 1:
            raise InputError(f"max-batch is {self.max_batch}, expected 1 or more")
        if not 0 <= self.max_queue_delay_s <= 10:
            raise InputError(
                f"max-queue-delay is {self.max_queue_delay_s * 1e3:g} ms, expected 0 to 10000"
            )
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise InputError(f"max-memory is {self.memory_bytes} bytes, expected 1 or more")
        for name in self.allowed_hosts:
            if not _HOST.fullmatch(name):
                raise InputError(
                    f"allowed-host is {name!r}, expected a name or an address, without a port",
                    fix="--allowed-host models.example.org",
                )


def read_limits(texts: Sequence[str]) -> Limits:
    """Return the limits that `NAME=VALUE` texts change.

    Raises:
        InputError: there is no such limit, or the value is no positive number.
    """
    known = {f.name: f.default for f in fields(Limits)}
    given: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise InputError(f"there is no limit {name!r}", fix=suggest(name, known))
        whole = isinstance(known[name], int)
        try:
            given[name] = int(value) if whole else float(value)
        except ValueError:
            given[name] = 0
        if not 0 < given[name] < math.inf:
            kind = "a whole number" if whole else "a number"
            raise InputError(f"limit {name} is {value!r}, expected {kind} above 0")
    return Limits(**given)


def read_api_keys(path: Path) -> tuple[str, ...]:
    """Return the keys of a file, one a line; empty lines and those that begin with # are none.

    Raises:
        InputError: it cannot be read, has no key, or one that can be guessed or sent by no header.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path} cannot be read: {err}") from err
    keys = tuple(text for line in lines if (text := line.strip()) and not text.startswith("#"))
    if not keys:
        raise InputError(f"{path} has no key", fix="write one a line, 16 characters or more")
    for number, key in enumerate(keys, start=1):
        if len(key) < _MIN_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                f"key {number} of {path} is not {_MIN_KEY} or more printable ASCII characters "
                f"without a space",
                fix="python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
    return keys
