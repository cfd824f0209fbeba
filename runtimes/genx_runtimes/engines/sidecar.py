"""What an engine is valid for, written beside it, and how it differs from what is needed.

Source: docs/engines.md, "The sidecar".
"""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path

import msgspec

from genx_runtimes.cuda import CudaDevice
from genx_runtimes.engines.flavours import AHEAD, Loaded
from genx_runtimes.engines.precision import LayerPrecision
from genx_runtimes.engines.settings import BuildSettings
from genx_runtimes.errors import IntegrityError
from genx_runtimes.manifest import TensorSpec
from genx_runtimes.system_files import read_text

SIDECAR_VERSION = 1
_MAX_BYTES = 4 * 2**20
# The rest of the environment is written down and not compared: the package cuda-bindings, and a
# Jetson's memory, which depends on what the CPU has taken.
_COMPARED = ("tensorrt", "os", "arch", "l4t", "gpu", "compute_capability", "driver")
# What comes with a newer TensorRT.
_VERSIONS = ("tensorrt", "l4t", "driver")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine was built, or is to run; empty fields are unknown or do not matter.

    Args:
        tensorrt: its full version.
        os: such as "linux".
        arch: such as "aarch64".
        l4t: the first line of a Jetson's /etc/nv_tegra_release.
        gpu: its name.
        compute_capability: such as "8.7".
        memory_mib: of the GPU.
        driver: the newest CUDA that the driver knows.
        cuda: the CUDA of cuda-bindings.
    """

    tensorrt: str
    os: str
    arch: str
    l4t: str = ""
    gpu: str = ""
    compute_capability: str = ""
    memory_mib: int = 0
    driver: str = ""
    cuda: str = ""


class EngineKey(msgspec.Struct, frozen=True, kw_only=True):
    """All that an engine depends on: two engines of one key are the same to whoever runs them.

    Args:
        onnx_sha256: of the graph.
        settings: how it was built.
        environment: where; for tensorrt-rtx without the GPU, which is not asked for then.
    """

    onnx_sha256: str
    settings: BuildSettings
    environment: Environment

    @property
    def digest(self) -> str:
        """The key's hash, hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside an engine.

    Args:
        sidecar_version: of this record.
        key: what the engine depends on.
        component: the graph's name in the bundle.
        variant: its precision.
        bytes: size of the engine.
        sha256: of the engine.
        tensors: inputs and outputs.
        layers: those that multiply, and in which types.
        max_error: measured with the golden samples after the build; None if there was no GPU.
        build_seconds: how long it took.
        genx: the version that made it.
    """

    sidecar_version: int
    key: EngineKey
    component: str
    variant: str
    bytes: int
    sha256: str
    tensors: tuple[TensorSpec, ...]
    layers: tuple[LayerPrecision, ...]
    max_error: float | None
    build_seconds: float
    genx: str


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """What is read before anything else is believed."""

    sidecar_version: int


def describe_environment(
    loaded: Loaded, device: CudaDevice | None, root: Path = Path("/")
) -> Environment:
    """Return where we are.

    Args:
        loaded: a TensorRT.
        device: the GPU; None where there is none, or where it does not matter.
        root: where `etc/` is found; another folder in tests.
    """
    here = Environment(
        tensorrt=loaded.version,
        os=sys.platform,
        arch=platform.machine(),
        l4t=read_text(root / "etc/nv_tegra_release").partition("\n")[0],
    )
    if device is None:
        return here
    return msgspec.structs.replace(
        here,
        gpu=device.name,
        compute_capability=device.compute_capability,
        memory_mib=device.memory_mib,
        driver=device.driver,
        cuda=device.runtime,
    )


def list_differences(sidecar: Sidecar, onnx_sha256: str, here: Environment) -> list[str]:
    """Return in words why an engine is not valid here for a graph; empty if it is."""
    built, settings = sidecar.key.environment, sidecar.key.settings
    found = []
    if sidecar.key.onnx_sha256 != onnx_sha256:
        found.append(
            f"it was built from another graph ({sidecar.key.onnx_sha256[:12]}..., this one is "
            f"{onnx_sha256[:12]}...)"
        )
    compared: tuple[str, ...] = _COMPARED
    if settings.version_compatible and _is_newer(built.tensorrt, here.tensorrt):
        compared = tuple(name for name in compared if name not in _VERSIONS)
    for name in compared:
        then, now = getattr(built, name), getattr(here, name)
        if then == now or (not then and settings.target == AHEAD):  # it depends on no GPU
            continue
        found.append(f"{name} was {then or 'none'}, here it is {now or 'none'}")
    wanted = settings.compute_capabilities
    if wanted and here.compute_capability and here.compute_capability not in wanted:
        found.append(
            f"it was built for compute capability {', '.join(wanted)}, this GPU has "
            f"{here.compute_capability}"
        )
    return found


def decode_sidecar(data: bytes, label: str) -> Sidecar:
    """Parse a sidecar.

    Raises:
        IntegrityError: it is damaged, or of a newer genx.
    """
    try:
        version = msgspec.json.decode(data[:_MAX_BYTES], type=_Head).sidecar_version
        if version > SIDECAR_VERSION:
            raise IntegrityError(
                f"{label} is of version {version}, this genx reads {SIDECAR_VERSION}"
            )
        return msgspec.json.decode(data[:_MAX_BYTES], type=Sidecar)
    except msgspec.MsgspecError as err:
        raise IntegrityError(f"{label} is damaged: {err}") from err


def _is_newer(then: str, now: str) -> bool:
    """Whether this TensorRT is no older than the one that built."""
    return tuple(map(int, then.split(".")[:2])) <= tuple(map(int, now.split(".")[:2]))
