from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from genx_export.families import find_family
from genx_export.feeding import feed_components, run_in_batches
from genx_export.model import LoadedModel
from genx_export.torch_component import ModuleComponent
from genx_runtimes.errors import InputError, SourceError, TraceError
from genx_runtimes.manifest import NormalPrior, OutputSpec
from genx_runtimes.session import Array

Build = Callable[[str], nn.Module]


def _load(
    build: Build, name: str, *, family: str = "generator", output: OutputSpec | None = None, **names
) -> LoadedModel:
    module = build(name)
    chosen = find_family(family)
    return LoadedModel(
        name="m",
        family=chosen,
        sampler=chosen.describe_sampler({}, chosen.calls),
        components=[
            ModuleComponent(n, getattr(module, call) if call else module)
            for n, call in chosen.calls.items()
        ],
        output_names={**chosen.outputs, **names},
        priors=(NormalPrior(name="z", shape=(8,)),),
        output=output,
        reference="torch",
    )


def _latents(count: int = 4, **extra: Array) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {"z": rng.standard_normal((count, 8), np.float32), **extra}


def test_a_prior_feeds_the_only_input_whatever_its_name(build: Build) -> None:
    latents = {"noise": _latents()["z"]}
    fed = feed_components(_load(build, "Flat"), latents, size=4)[0]
    assert fed.ports == {"z": "noise"}
    spec = fed.describe()
    assert spec.inputs[0].name == "noise"
    assert spec.inputs[0].shape == ("batch", 8)
    assert spec.inputs[0].role == "prior"


def test_an_encoder_is_fed_by_its_decoder(build: Build) -> None:
    image = OutputSpec(name="image", kind="image", range=(0.0, 1.0))
    model = _load(build, "Vae", family="vae", output=image)
    z = _latents()["z"][:, :4]
    encoder, decoder = feed_components(model, {"z": z}, size=4)
    assert list(encoder.outputs) == ["mean", "log_variance"]
    assert np.array_equal(encoder.feeds["image"], decoder.outputs["image"])
    assert encoder.describe().inputs[0].role == "data"


def test_an_encoder_that_nothing_feeds(build: Build) -> None:
    model = _load(build, "Vae", family="vae")
    with pytest.raises(SourceError, match="input 'image' of component 'encoder' is fed by"):
        feed_components(model, {"z": _latents()["z"][:, :4]}, size=4)


def test_inputs_and_priors_must_match(build: Build) -> None:
    with pytest.raises(SourceError, match="input 'label' of component 'generator' has no prior"):
        feed_components(_load(build, "Tiny"), _latents(), size=4)
    extra = {"label": np.zeros(4, np.int64), "lable": np.zeros(4, np.int64)}
    with pytest.raises(SourceError, match=r"prior 'lable' feeds nothing: .*did you mean 'label'"):
        feed_components(_load(build, "Tiny"), _latents(**extra), size=4)


def test_wrong_shapes_give_got_and_the_models_words(build: Build) -> None:
    latents = {"z": np.zeros((4, 9), np.float32)}
    with pytest.raises(SourceError, match=r"got z \(4, 9\); the model says: .*4x9 and 8x8"):
        feed_components(_load(build, "Flat"), latents, size=4)


@pytest.mark.parametrize(
    ("name", "message"),
    [("Scalar", r"has shape \(\), expected the batch of 4 first"), ("Text", "returns a str as")],
)
def test_wrong_outputs(build: Build, name: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        feed_components(_load(build, name), _latents(), size=4)


def test_names_of_outputs(build: Build) -> None:
    def names(name: str, **kwargs) -> list[str]:
        return list(feed_components(_load(build, name, **kwargs), _latents(), size=4)[0].outputs)

    contract = OutputSpec(name="sample", kind="tensor")
    assert names("Flat") == ["output"]
    assert names("Flat", output=contract) == ["sample"]
    assert names("Pair") == ["output_0", "output_1"]
    assert names("Pair", output=contract) == ["sample", "output_1"]
    assert names("Named") == ["mean", "scale"]
    assert names("Named", output=OutputSpec(name="scale", kind="tensor")) == ["mean", "scale"]
    assert names("Pair", generator=("a", "b")) == ["a", "b"]
    with pytest.raises(SourceError, match="has 2 outputs, 1 names were given: a"):
        names("Pair", generator=("a",))


def test_batches_are_joined_again(build: Build) -> None:
    component = ModuleComponent("g", build("Flat"))
    whole = component.run(_latents(7))
    parts = run_in_batches(component, _latents(7), 3)
    assert parts["output"].shape == (7, 8)
    assert np.allclose(parts["output"], whole["output"], atol=1e-6)


def test_unknown_family() -> None:
    with pytest.raises(InputError, match="unknown family 'generater'; did you mean 'generator'"):
        find_family("generater")
