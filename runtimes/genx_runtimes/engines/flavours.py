"""The two TensorRTs, which share one code path, and their one logger.

Source: TensorRT's Python API, `ILogger`; TensorRT takes the first logger of a process and no other.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from genx_runtimes.errors import BackendUnavailableError, InputError, suggest

LOG = logging.getLogger("genx.tensorrt")
_REMEMBERED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """A TensorRT.

    Args:
        name: as in `--target` and `--backend`.
        module: what Python imports.
        install: how to get it.
        compiles_ahead: whether it builds for GPUs that are not here.
    """

    name: str
    module: str
    install: str
    compiles_ahead: bool

    def is_installed(self) -> bool:
        """Whether the package is there; it is not imported."""
        return find_spec(self.module) is not None


# The one that compiles for GPUs that are not here.
AHEAD = "tensorrt-rtx"
FLAVOURS = (
    Flavour(
        name="tensorrt",
        module="tensorrt",
        install="on a Jetson it is part of JetPack, elsewhere: pip install 'genx[tensorrt]'",
        compiles_ahead=False,
    ),
    Flavour(
        name=AHEAD,
        module="tensorrt_rtx",
        install="pip install 'genx[tensorrt-rtx]'",
        compiles_ahead=True,
    ),
)
TARGETS = tuple(flavour.name for flavour in FLAVOURS)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A TensorRT that was imported.

    Args:
        flavour: which of the two.
        trt: the module.
        logger: the one of this process.
        errors: the last that it logged, the newest last.
    """

    flavour: Flavour
    trt: ModuleType
    logger: object
    errors: deque[str]

    @property
    def version(self) -> str:
        """TensorRT's full version."""
        return str(self.trt.__version__)

    def last_error(self) -> str:
        """Return TensorRT's last error in one line, without where in its source it stands."""
        if not self.errors:
            return "TensorRT gave no reason"
        return " ".join(self.errors[-1].split())


def find_flavour(name: str) -> Flavour:
    """Return the flavour called `name`.

    Raises:
        InputError: there is none.
    """
    for flavour in FLAVOURS:
        if flavour.name == name:
            return flavour
    raise InputError(f"unknown target {name!r}", fix=suggest(name, TARGETS))


# Kept as long as the process: TensorRT holds on to the first logger that it was given, to the end.
_LOADED: dict[str, Loaded] = {}


def load_flavour(name: str) -> Loaded:
    """Import a TensorRT, once a process.

    Raises:
        BackendUnavailableError: it is not installed, or cannot be loaded.
    """
    if name in _LOADED:
        return _LOADED[name]
    flavour = find_flavour(name)
    try:
        trt = import_module(flavour.module)
    except ImportError as err:
        raise BackendUnavailableError(
            f"{name} cannot be loaded: {err}", fix=flavour.install
        ) from err
    errors: deque[str] = deque(maxlen=_REMEMBERED)
    _LOADED[name] = Loaded(flavour, trt, _make_logger(trt, errors), errors)
    return _LOADED[name]


def _make_logger(trt: ModuleType, errors: deque[str]) -> object:
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.DEBUG,
        trt.ILogger.ERROR: logging.DEBUG,
        trt.ILogger.WARNING: logging.INFO,
        trt.ILogger.INFO: logging.DEBUG,
        trt.ILogger.VERBOSE: logging.DEBUG,
    }

    class Router(trt.ILogger):  # type: ignore[name-defined, misc]
        """Passes TensorRT's log on; errors are raised by who called, with these words."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: object, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                errors.append(msg)
            LOG.log(levels.get(severity, logging.DEBUG), "%s", msg)

    return Router()
