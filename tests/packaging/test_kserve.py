"""An InferenceService has what KServe and Kubernetes ask for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.packaging.conftest import edit

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.packaging import Packaged, PackageRequest, package
from genx_runtimes.packaging.kserve import name_service
from genx_runtimes.packaging.yaml_text import write_yaml

IMAGE = "registry.example/genx-tiny:1"


def write(bundle: Bundle, path: Path, **options: Any) -> Packaged:
    return package(bundle, "kserve", PackageRequest(path=path, **options))


def test_the_service(tiny: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    made = write(tiny, path, image=IMAGE)
    service = yaml.safe_load(path.read_text())
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["kind"] == "InferenceService"
    assert service["metadata"]["name"] == "tiny"
    assert service["metadata"]["annotations"]["genx/bundle-sha256"] == tiny.digest
    (container,) = service["spec"]["predictor"]["containers"]
    assert (container["name"], container["image"]) == ("kserve-container", IMAGE)
    assert container["args"] == [
        *("serve", "/bundle/tiny.genx", "--precision", "fp32"),
        *("--host", "0.0.0.0", "--port", "8080"),
    ]
    assert container["env"] == [{"name": "PROTOCOL", "value": "v2"}]
    assert container["ports"] == [{"name": "http1", "containerPort": 8080, "protocol": "TCP"}]
    for probe, wanted in (("readinessProbe", "ready"), ("livenessProbe", "live")):
        got = container[probe]["httpGet"]
        assert got == {"path": f"/v2/health/{wanted}", "port": 8080}
    for kind in ("requests", "limits"):
        assert set(container["resources"][kind]) == {"cpu", "memory"}
        assert re.fullmatch(r"[1-9]\d*Mi", container["resources"][kind]["memory"])
    assert container["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    (mount,) = container["volumeMounts"]
    assert mount["mountPath"] == "/tmp"
    assert service["spec"]["predictor"]["volumes"] == [{"name": mount["name"], "emptyDir": {}}]
    assert made.command == f"kubectl apply -f {path}"


def test_a_bundle_from_storage(tiny: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    made = write(tiny, path, image=IMAGE, storage_uri="s3://models/tiny.genx")
    (container,) = yaml.safe_load(path.read_text())["spec"]["predictor"]["containers"]
    assert container["args"][:2] == ["serve", "/mnt/models"]
    assert {"name": "STORAGE_URI", "value": "s3://models/tiny.genx"} in container["env"]
    assert "s3://models/tiny.genx has to be the bundle as a folder" in made.notes[-1]
    with pytest.raises(InputError, match="is not SCHEME://PLACE"):
        write(tiny, tmp_path / "x.yaml", image=IMAGE, storage_uri="models/tiny")


def test_memory_grows_with_the_graphs(tiny: Bundle, tiny_copy: Path, tmp_path: Path) -> None:
    def enlarge(manifest: dict[str, Any]) -> None:
        manifest["variants"][0]["graphs"]["generator"]["bytes"] = 2**30

    edit(tiny_copy, enlarge)
    sizes = []
    for number, bundle in enumerate((tiny, open_bundle(tiny_copy))):
        path = tmp_path / f"{number}.yaml"
        write(bundle, path, image=IMAGE)
        (container,) = yaml.safe_load(path.read_text())["spec"]["predictor"]["containers"]
        sizes.append(container["resources"]["limits"]["memory"])
    assert sizes == ["256Mi", f"{256 + 3 * 1024}Mi"]


def test_names_that_kubernetes_takes() -> None:
    names = ("char_transformer", "DCGAN-64.v2", "64px", "_", "a--b..")
    plain = [name_service(name) for name in names]
    assert plain == ["char-transformer", "dcgan-64-v2", "genx-64px", "genx", "a-b"]
    assert all(re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name) for name in plain)
    with pytest.raises(InputError, match="at most 53 characters"):
        name_service("a" * 54)


def test_what_is_refused(tiny: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a cluster needs the image"):
        write(tiny, tmp_path / "tiny.yaml")
    with pytest.raises(InputError, match=r"tiny.json ends in '.json'; write NAME.yaml"):
        write(tiny, tmp_path / "tiny.json", image=IMAGE)
    write(tiny, tmp_path / "tiny.yaml", image=IMAGE)
    with pytest.raises(InputError, match="exists already; --force replaces it"):
        write(tiny, tmp_path / "tiny.yaml", image=IMAGE)
    write(tiny, tmp_path / "tiny.yaml", image="other", force=True)
    assert "other" in (tmp_path / "tiny.yaml").read_text()


@pytest.mark.parametrize("text", ["yes", "1.0", "a: b #c", "- x", 'ä"\n', "", "*a", "{{x}}"])
def test_texts_stay_texts(text: str) -> None:
    value: Any = {"a": text, "b": [text, 1, {"c": [text], "d": True}, {"e": {"f": text}}]}
    assert yaml.safe_load(write_yaml(value)) == value
