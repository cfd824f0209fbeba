"""Text models: a transformer whose cache grows, a GRU whose state is replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genx_export import export
from genx_runtimes import open_bundle
from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import GenxError, InputError, ManifestError, SourceError
from genx_runtimes.noise import NoiseStream
from genx_runtimes.sampler import Sampler
from genx_runtimes.samplers.decisions import Decision
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.text import decode_text, encode_text
from genx_runtimes.verify import verify_bundle

LENGTH = 24
STOP = 11
MODELS = '''
import torch
import torch.nn.functional as F
from torch import nn

from genx_export import ModelSpec

LETTERS = ["", *"abcdefghij", "<end>"]
TEXT = {"name": "text", "kind": "text", "vocabulary": LETTERS}


def predict():
    """No start, and few stops."""
    layer = nn.Linear(8, 12)
    nn.init.normal_(layer.weight)
    with torch.no_grad():
        layer.bias[0], layer.bias[11] = -30, -2
    return layer


class Transformer(nn.Module):
    """Two heads of size 4, one layer, 24 places; next_keys and next_values are the new ones."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(12, 8)
        self.places = nn.Embedding(24, 8)
        self.joined = nn.Linear(8, 24)
        self.out = predict()

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        q, k, v = self.joined(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(x + seen.transpose(1, 2).flatten(2))

    def step(self, token, position, keys, values):
        x = self.tokens(token) + self.places(position)
        q, k, v = self.joined(x).unflatten(1, (3, 2, 1, 4)).unbind(1)
        before = torch.arange(24) < position[:, None]
        mask = F.pad(before, (0, 1), value=True)[:, None, None]
        seen = F.scaled_dot_product_attention(
            q, torch.cat([keys, k], 2), torch.cat([values, v], 2), attn_mask=mask
        )
        return self.out(x + seen.flatten(1)), k, v


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(12, 8)
        self.cell = nn.GRUCell(8, 8)
        self.out = predict()

    def step(self, token, position, h):
        h = self.cell(self.tokens(token) + position[:, None] / 24, h)
        return self.out(h), h


def describe(module, states, **more):
    fields = {"length": 24, "start": 0, "stop": [11], "states": states, **more}
    return ModelSpec(
        module=module, family="tokens", output=TEXT, sampler=fields
    )


def transformer(**more):
    states = [{"name": n, "shape": [2, 24, 4], "grows": 1} for n in ("keys", "values")]
    return describe(Transformer(), states, **more)


def recurrent():
    return describe(Recurrent(), [{"name": "h", "shape": [8]}])


def conditional():
    class Conditional(Recurrent):
        def step(self, token, position, label, h):
            logits, h = Recurrent.step(self, token, position, h)
            return logits + 9 * F.one_hot(label + 1, 12), h

    spec = describe(Conditional(), [{"name": "h", "shape": [8]}])
    return ModelSpec(**{**vars(spec), "priors": {"label": "categorical:3"}})


class Copying(Transformer):
    def step(self, token, position, keys, values):
        logits, k, v = super().step(token, position, keys, values)
        return logits, torch.cat([keys, k], 2), v


def copying():
    return describe(Copying(), transformer().sampler["states"])


def short():
    return transformer(length=25)


def outside():
    return transformer(stop=[12])


def silent():
    spec = transformer()
    return ModelSpec(**{**vars(spec), "output": {**TEXT, "vocabulary": LETTERS[:-1]}})
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "texts.py"
    path.write_text(MODELS)
    for kind in ("transformer", "recurrent"):
        export(f"{path}:{kind}", path.parent / f"{kind}.genx")
    return path


@pytest.fixture(scope="module")
def bundle(source: Path) -> Bundle:
    return open_bundle(source.parent / "transformer.genx")


@pytest.fixture(scope="module")
def sampler(bundle: Bundle) -> Iterator[Sampler]:
    with bundle.sampler() as opened:
        yield opened


def import_models(source: Path) -> ModuleType:
    spec = spec_from_file_location("texts", source)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(sampler: Sampler, n: int, batch: int = 16, **more: object) -> NDArray[np.int64]:
    options = {k: v for k, v in more.items() if k not in ("start", "seed", "conditions")}
    rest = {k: v for k, v in more.items() if k not in options}
    wanted = SamplingOptions(**options)  # type: ignore[arg-type]
    batches = sampler.sample(n, batch=batch, options=wanted, **rest)  # type: ignore[arg-type]
    return np.concatenate([b.output for b in batches]).astype(np.int64)


def test_steps_give_the_logits_of_the_whole(source: Path, bundle: Bundle) -> None:
    """The bundle's step with its growing cache against the module's forward over all tokens."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = import_models(source).transformer().module.eval()
    tokens = np.random.default_rng(0).integers(12, size=(3, LENGTH))
    with torch.inference_mode():
        whole = model(torch.from_numpy(tokens)).numpy()
    states = {n: np.zeros((3, 2, LENGTH, 4), np.float32) for n in ("keys", "values")}
    with bundle.session("step") as session:
        for place in range(LENGTH):
            position = np.full(3, place)
            outputs = session.run({"token": tokens[:, place], "position": position, **states})
            assert outputs["next_keys"].shape == (3, 2, 1, 4)
            for name, state in states.items():
                state[:, :, place : place + 1] = outputs[f"next_{name}"]
            np.testing.assert_allclose(outputs["logits"], whole[:, place], atol=1e-5)


def test_samples_are_what_the_definition_says(source: Path, sampler: Sampler) -> None:
    """A second implementation: the whole forward anew for each token, and the same uniforms."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = import_models(source).transformer().module.eval()
    got = draw(sampler, 4, seed=5, temperature=0.8)
    for index, row in enumerate(got):
        uniforms = NoiseStream(5, "token").at(index).random_sample(LENGTH)
        tokens = [0]
        for u in uniforms:
            with torch.inference_mode():
                logits = model(torch.tensor([tokens])).numpy()[:, -1]
            tokens.append(int(Decision(temperature=0.8).draw(logits, np.array([u]))[0]))
            if tokens[-1] == STOP:
                break
        tokens += [STOP] * (LENGTH + 1 - len(tokens))
        np.testing.assert_array_equal(row, tokens[1:])


def test_verify_runs_the_loop(bundle: Bundle) -> None:
    report = verify_bundle(bundle)
    assert report.passed
    assert report.loop is not None
    assert report.loop.discrete
    assert report.loop.error == 0
    assert len(report.loop.curve) == LENGTH
    roles = {t.name: t.role for t in bundle.manifest.component("step").inputs}
    assert roles == dict.fromkeys(("token", "position", "keys", "values"), "loop")


def test_a_token_that_differs_fails_verify(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = bundle.golden()
    made = golden["loop/out/text"].copy()
    made[:3, 10] = (made[:3, 10] + 1) % 11  # three of eight: more than a quarter
    monkeypatch.setattr(bundle, "golden", lambda: {**golden, "loop/out/text": made})
    report = verify_bundle(bundle)
    assert not report.passed
    assert report.loop is not None
    assert report.loop.error == 3 / 8
    assert report.loop.curve[9] == 0


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_samples_depend_on_seed_and_index_alone(kind: str, source: Path) -> None:
    with open_bundle(source.parent / f"{kind}.genx").sampler() as sampler:
        together = draw(sampler, 8, seed=3)
        np.testing.assert_array_equal(draw(sampler, 8, batch=1, seed=3), together)
        np.testing.assert_array_equal(draw(sampler, 3, seed=3, start=5), together[5:])
        np.testing.assert_array_equal(draw(sampler, 8, seed=3, length=9), together[:, :9])
        assert together.shape == (8, LENGTH)
        assert len({tuple(row) for row in together}) > 5
        assert not np.array_equal(draw(sampler, 8, seed=4), together)
        # A prompt counts towards the length, and new tokens take the same draws.
        prompted = draw(sampler, 8, seed=3, prompt="abc", length=5)
    assert prompted.shape == (8, 8)
    np.testing.assert_array_equal(prompted[:, :3], [[1, 2, 3]] * 8)
    assert not np.array_equal(prompted[:, 3:], together[:, :5])


def test_a_prompt_of_what_was_drawn_goes_on_as_it_went(sampler: Sampler) -> None:
    first = draw(sampler, 1, temperature=0, length=6)
    text = decode_text(first[0], sampler.manifest.output.vocabulary, stop=(STOP,))
    assert encode_text(text, sampler.manifest.output.vocabulary) == first[0].tolist()
    again = draw(sampler, 1, temperature=0, prompt=text, length=8)
    np.testing.assert_array_equal(again, draw(sampler, 1, temperature=0, length=14))


def test_nothing_follows_a_stop(sampler: Sampler) -> None:
    tokens = draw(sampler, 64, temperature=2.0, seed=1)
    ended = np.logical_or.accumulate(tokens == STOP, axis=1)
    assert ended[:, -1].any()
    assert not ended[:, -1].all()
    assert np.all(tokens[ended] == STOP)
    for row in tokens:
        text = decode_text(row, sampler.manifest.output.vocabulary, stop=(STOP,))
        assert len(text) == np.sum(row != STOP)


def test_watching_shows_each_token(sampler: Sampler) -> None:
    watched = [b.output for b in sampler.watch(2, seed=2)]
    last = watched[-1]
    np.testing.assert_array_equal(last, draw(sampler, 2, seed=2))
    for shorter in watched:
        np.testing.assert_array_equal(shorter, last[:, : shorter.shape[1]])


def test_a_condition_reaches_each_step(source: Path, tmp_path: Path) -> None:
    export(f"{source}:conditional", tmp_path / "c.genx")
    with open_bundle(tmp_path / "c.genx").sampler() as sampler:
        tokens = draw(sampler, 6, conditions={"label": 2})
        assert np.mean(tokens == 3) > 0.5
        apart = draw(sampler, 6, batch=1, conditions={"label": 2})
    np.testing.assert_array_equal(apart, tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "abé"}, r"'é' at character 3"),
        ({"prompt": "a" * 24}, "the prompt has 24 tokens, the model looks back on 24"),
        ({"length": 25}, "length is 25 and the prompt has 0 tokens"),
        ({"length": 22, "prompt": "abc"}, "length is 22 and the prompt has 3 tokens"),
        ({"length": 0}, "length is 0, expected 1 or more"),
        ({"temperature": -1.0}, "temperature is -1.0, expected 0 or more"),
        ({"top_k": 0}, "top-k is 0, expected 1 or more"),
        ({"top_p": 2.0}, "top-p is 2.0"),
        ({"steps": 3}, r"--steps has no meaning for this bundle.*--prompt"),
    ],
)
def test_options_that_cannot_be_met(
    sampler: Sampler, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sampler.sample(1, options=SamplingOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("copying", r"next_keys has shape \(\d, 2, 25, 4\) at position 0"),
        ("short", "state 'keys' cannot grow to 25|index out of range"),
        ("outside", "token 12 of start or stop is not in a vocabulary of 12"),
        ("silent", "output 'text' has tokens 1 to 11, the vocabulary has 11"),
    ],
)
def test_models_that_do_not_fit_are_refused(
    kind: str, message: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises((SourceError, ManifestError), match=message):
        export(f"{source}:{kind}", tmp_path / "t.genx")
    assert not (tmp_path / "t.genx").exists()


def test_a_manifest_whose_vocabulary_does_not_fit_is_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(bundle.path, tmp_path / "t.genx")
    path = tmp_path / "t.genx" / "manifest.json"
    fields = json.loads(path.read_text())
    fields["output"]["vocabulary"].pop()
    path.write_text(json.dumps(fields))
    with pytest.raises(ManifestError, match="the vocabulary has 11 tokens"):
        open_bundle(tmp_path / "t.genx")


def test_a_recipe_names_a_vocabulary_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.py").write_text(source.read_text())
    (tmp_path / "vocabulary.json").write_text(json.dumps(["", *"abcdefghij", "\n"]))
    (tmp_path / "recipe.toml").write_text(
        'family = "tokens"\nmodel = "texts.py:Recurrent"\n'
        '[sampler]\nlength = 24\nstart = 0\nstates = [{name = "h", shape = [8]}]\n'
        '[output]\nname = "text"\nkind = "text"\nvocabulary = "vocabulary.json"\n'
    )
    export(tmp_path, tmp_path / "t.genx")
    output = open_bundle(tmp_path / "t.genx").manifest.output
    assert output.vocabulary == ("", *"abcdefghij", "\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"the vocabulary \S+words.json cannot be read"),
        ('["a", 1]', r"words.json is not a JSON list of strings: .*\[1\]"),
        ('{"a": 0}', "is not a JSON list of strings"),
    ],
)
def test_a_vocabulary_file_that_is_none(
    content: str | None, message: str, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts.py").write_text(source.read_text())
    if content:
        (tmp_path / "words.json").write_text(content)
    (tmp_path / "recipe.toml").write_text(
        'family = "tokens"\nmodel = "texts.py:Recurrent"\n'
        '[sampler]\nlength = 24\nstart = 0\nstates = [{name = "h", shape = [8]}]\n'
        '[output]\nname = "text"\nkind = "text"\nvocabulary = "words.json"\n'
    )
    with pytest.raises(GenxError, match=message):
        export(tmp_path, tmp_path / "t.genx")


def test_a_prompt_that_ends_the_text_is_refused(bundle: Bundle) -> None:
    with bundle.sampler() as sampler, pytest.raises(InputError, match="ends a text"):
        sampler.sample(1, options=SamplingOptions(prompt="ab<end>c"))
