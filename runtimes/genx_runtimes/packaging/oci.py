"""A container's build context: the bundle, genx as it is installed here, and pinned versions.

Source: docs/docker, whose style the Dockerfile follows.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import BackendUnavailableError, InputError
from genx_runtimes.manifest import MANIFEST_PATH
from genx_runtimes.packaging.image import FOLDER, bundle_path, list_serve_arguments, simplify
from genx_runtimes.packaging.pins import list_pins
from genx_runtimes.packaging.request import Packaged, PackageRequest
from genx_runtimes.version import __version__
from genx_runtimes.writing import check_free, replace_folder

DOCKERFILE = "Dockerfile"
REQUIREMENTS = "requirements.txt"
_PORT = 8000
# No index has genx: its own files go into the image. The command line is a layer above this one,
# so it is looked for by name.
_PACKAGES = ("genx_runtimes", "genx_cli")
# The last releases of October 2025, of which docker.io/library/python has images.
_PYTHONS = {(3, 10): "3.10.19", (3, 11): "3.11.14", (3, 12): "3.12.12", (3, 13): "3.13.9"}
_READY = (
    f"import urllib.request as u; u.urlopen('http://127.0.0.1:{_PORT}/v2/health/ready', timeout=4)"
)

_TEMPLATE = """\
# {name} as a service, by genx package from genx {version}; bundle {digest}
#   docker build -t {tag} .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \\
#     --stop-timeout 75 -p 127.0.0.1:{port}:{port} {tag}

FROM python:{python}-slim-bookworm AS build
COPY {requirements} /{requirements}
# The image's own pip installs into an environment that has none; these versions and no others.
RUN python -m venv --without-pip /opt/genx \\
    && python -m pip --python /opt/genx/bin/python install --no-cache-dir --no-deps \\
        --requirement /{requirements} \\
    && python -m pip --python /opt/genx/bin/python check
COPY genx /opt/genx/app
RUN python -m compileall -q /opt/genx/app

FROM python:{python}-slim-bookworm
RUN useradd --no-create-home --uid 10001 genx
COPY --from=build /opt/genx /opt/genx
COPY {folder} /{folder}
ENV PATH=/opt/genx/bin:$PATH PYTHONPATH=/opt/genx/app PYTHONDONTWRITEBYTECODE=1 \\
    GENX_CACHE_DIR=/tmp/genx
USER 10001
EXPOSE {port}
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD {check}
ENTRYPOINT ["python", "-m", "genx_cli"]
CMD {command}
"""


def _is_ours(dockerfile: Path) -> bool:
    """Return whether an earlier call wrote it: its folder is replaced with all that is in it."""
    return dockerfile.is_file() and b"by genx package" in dockerfile.read_bytes()


def write_context(bundle: Bundle, request: PackageRequest) -> Packaged:
    """Write what `docker build` takes; see `package`."""
    request.refuse_cluster_options("oci")
    check_free(request.path, force=request.force, folder=True)
    if request.path.exists() and not _is_ours(request.path / DOCKERFILE):
        raise InputError(
            f"{request.path} exists and is no container context of genx; it is left alone",
            fix="-o elsewhere",
        )
    variant = bundle.variant(request.precision)
    python = _find_python()
    pins = list_pins("genx", "serve")
    name = bundle.manifest.name
    tag = f"genx-{simplify(name)}"
    text = _TEMPLATE.format(
        name=name,
        version=__version__,
        digest=bundle.digest,
        tag=tag,
        port=_PORT,
        python=python,
        requirements=REQUIREMENTS,
        folder=FOLDER,
        check=json.dumps(["python", "-c", _READY]),
        command=json.dumps(list_serve_arguments(bundle_path(name), variant.name, _PORT)),
    )
    with replace_folder(request.path) as folder:
        (folder / DOCKERFILE).write_text(text, encoding="utf-8")
        (folder / REQUIREMENTS).write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        for package in _PACKAGES:
            _copy_package(package, folder / "genx")
        _copy_bundle(bundle, folder / FOLDER / f"{name}.genx")
    return Packaged(
        names=(tag,),
        variant=variant.name,
        notes=(
            f"{len(pins)} packages are pinned to the versions that run here, on Python {python}; "
            f"genx {__version__} is in the context itself",
        ),
        command=f"docker build -t {tag} {shlex.quote(str(request.path))}",
    )


def _find_python() -> str:
    """Return the release of this minor version: another would take other packages."""
    running = sys.version_info[:2]
    if running not in _PYTHONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
        raise BackendUnavailableError(
            f"genx knows no base image of Python {running[0]}.{running[1]}, whose packages are "
            f"pinned; it knows {known}",
            fix="run genx package with one of these",
        )
    return _PYTHONS[running]


def _copy_package(name: str, folder: Path) -> None:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise BackendUnavailableError(f"{name} is not installed here", fix="pip install genx")
    source = Path(spec.origin).parent
    shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def _copy_bundle(bundle: Bundle, folder: Path) -> None:
    """Copy what the manifest names, checked; engines compiled for this machine are left out."""
    manifest = bundle.manifest
    folder.mkdir(parents=True)
    (folder / MANIFEST_PATH).write_bytes(bundle.manifest_bytes)
    for ref in (manifest.golden.file, *(r for v in manifest.variants for r in v.graphs.values())):
        target = folder / ref.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bundle.read_file(ref))
