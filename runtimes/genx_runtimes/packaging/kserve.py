"""An InferenceService of KServe that runs `genx serve`.

Source: kserve/kserve, `InferenceService` of `serving.kserve.io/v1beta1`, `predictor_custom.go`
(`kserve-container`, `PROTOCOL`, `STORAGE_URI`) and `constants.go` (`/mnt/models`).
"""

from __future__ import annotations

import shlex

from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import VariantSpec
from genx_runtimes.packaging.image import bundle_path, list_serve_arguments, simplify
from genx_runtimes.packaging.request import Packaged, PackageRequest
from genx_runtimes.packaging.yaml_text import Yaml, write_yaml
from genx_runtimes.writing import check_file, write_whole

_PORT = 8080
_MODELS = "/mnt/models"
_SCRATCH = "scratch"  # the rest is read-only
_LONGEST = 63 - len("-predictor")
_MIB = 2**20
# A server of a tiny graph took 90 MB; batches and conversions come on top.
_RUNTIME_MIB = 256
_STEP_MIB = 64


def write_service(bundle: Bundle, request: PackageRequest) -> Packaged:
    """Write the service's YAML; see `package`."""
    check_file(request.path, ".yaml", force=request.force)
    variant = bundle.variant(request.precision)
    name = name_service(bundle.manifest.name)
    if request.image is None:
        raise InputError(
            "a cluster needs the image that runs genx serve",
            fix="genx package BUNDLE --for oci -o FOLDER, build and push it, then --image NAME",
        )
    service = _describe_service(name, bundle, variant, request.image, request.storage_uri)
    head = f"# genx package: {bundle.manifest.name}, {variant.name}, bundle {bundle.digest}\n"
    with write_whole(request.path) as file:
        file.write((head + write_yaml(service)).encode())
    notes = [
        f"the service is called {name}, and asks for no key: who reaches it may use it",
        "CPU and memory are a guess from the graphs' size: measure, then change them",
    ]
    if request.storage_uri is not None:
        notes.append(f"{request.storage_uri} has to be the bundle as a folder, not a zip file")
    return Packaged(
        names=(name,),
        variant=variant.name,
        notes=tuple(notes),
        command=f"kubectl apply -f {shlex.quote(str(request.path))}",
    )


def name_service(name: str) -> str:
    """Return a bundle's name as Kubernetes takes it: a-z, 0-9 and -, a letter first.

    Raises:
        InputError: it is too long.
    """
    plain = simplify(name)
    plain = plain if plain[:1].isalpha() else f"genx-{plain}".rstrip("-")
    if len(plain) > _LONGEST:
        raise InputError(
            f"a service's name has at most {_LONGEST} characters, {plain} has {len(plain)}",
            fix="genx export SOURCE --name SHORTER",
        )
    return plain


def _describe_service(
    name: str, bundle: Bundle, variant: VariantSpec, image: str, storage_uri: str | None
) -> Yaml:
    served = bundle_path(bundle.manifest.name) if storage_uri is None else _MODELS
    environment = [{"name": "PROTOCOL", "value": "v2"}]
    if storage_uri is not None:
        if "://" not in storage_uri:
            raise InputError(
                f"--storage-uri {storage_uri!r} is not SCHEME://PLACE", fix="s3://BUCKET/FOLDER"
            )
        environment.append({"name": "STORAGE_URI", "value": storage_uri})
    container: dict[str, Yaml] = {
        "name": "kserve-container",
        "image": image,
        "args": list_serve_arguments(served, variant.name, _PORT),
        "env": environment,
        "ports": [{"name": "http1", "containerPort": _PORT, "protocol": "TCP"}],
        # Not ready before the golden samples have been drawn; alive as soon as the port is open.
        "readinessProbe": _probe("ready", period=5, failures=3),
        "livenessProbe": _probe("live", period=10, failures=6),
        "resources": _size(variant),
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": _SCRATCH, "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "annotations": {
                "genx/bundle": bundle.manifest.name,
                "genx/bundle-sha256": bundle.digest,
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "containers": [container],
                "volumes": [{"name": _SCRATCH, "emptyDir": {}}],
            }
        },
    }


def _probe(path: str, *, period: int, failures: int) -> Yaml:
    return {
        "httpGet": {"path": f"/v2/health/{path}", "port": _PORT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _size(variant: VariantSpec) -> Yaml:
    """Return what is reserved: a core, and the runtime with three times the graphs' bytes."""
    graphs = sum(ref.bytes for ref in variant.graphs.values())
    steps = -(-(_RUNTIME_MIB + 3 * graphs // _MIB) // _STEP_MIB)
    memory = f"{steps * _STEP_MIB}Mi"
    return {
        "requests": {"cpu": "1", "memory": memory},
        "limits": {"cpu": "1", "memory": memory},
    }
