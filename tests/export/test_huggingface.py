"""Folders of diffusers and transformers, made with the libraries' own save_pretrained."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch

from genx_export import export
from genx_export.loop_feeding import run_loop
from genx_export.model import LoadedModel
from genx_export.sources import SourceRequest, load_source
from genx_export.sources.huggingface.schedulers import describe_scheduler
from genx_export.sources.huggingface.vocabulary import read_vocabulary
from genx_runtimes import open_bundle
from genx_runtimes.errors import GenxError, InputError, SourceError, WeightsError
from genx_runtimes.manifest import NormalPrior, OutputSpec
from genx_runtimes.noise import NoiseStream
from genx_runtimes.sampler import Sampler
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.sampling_specs import DiffusionSpec
from genx_runtimes.verify import verify_bundle

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers: Any = pytest.importorskip("diffusers")
    transformers: Any = pytest.importorskip("transformers")

# A bundle and the library round differently: fp32, a few steps of networks of this size.
SAME = 1e-4


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing be downloaded; a library may swallow the error, so attempts are counted."""
    attempts: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        attempts.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not attempts


def make_unet(channels: int = 1, **more: Any) -> Any:
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        attention_head_dim=8,
        **more,
    )


def make_kl() -> Any:
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 4),
        latent_channels=2,
        norm_num_groups=2,
        sample_size=16,
    )


def make_vq() -> Any:
    return diffusers.VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 4),
        latent_channels=2,
        norm_num_groups=2,
        sample_size=16,
        num_vq_embeddings=8,
    )


def make_tiny() -> Any:
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )


def make_dit() -> Any:
    return diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=2,
        out_channels=4,
        num_layers=1,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=3,
    )


def make_gpt2() -> Any:
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=12, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5
    )
    config.bos_token_id = config.eos_token_id = 0
    return transformers.GPT2LMHeadModel(config)


def make_llama(kind: str = "Llama", **more: Any) -> Any:
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=40,
        max_position_embeddings=12,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.5,
        **more,
    )
    return getattr(transformers, f"{kind}ForCausalLM")(config)


def save_pipeline(folder: Path, kind: str, scheduler: Any, **parts: Any) -> Path:
    """Write what the pipeline's save_pretrained writes, without importing all pipelines."""
    index = {"_class_name": kind, "_diffusers_version": diffusers.__version__}
    for name, part in {**parts, "scheduler": scheduler}.items():
        part.save_pretrained(folder / name)
        index[name] = ["diffusers", type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def unet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("ddim")
    return save_pipeline(folder, "DDIMPipeline", diffusers.DDIMScheduler(100), unet=make_unet())


def load(folder: Path) -> LoadedModel:
    return load_source(str(folder), SourceRequest())


def run_library(
    network: Any, scheduler: Any, x: np.ndarray[Any, Any], steps: int
) -> list[torch.Tensor]:
    """Return what the library takes x_0 to be after each step, and at the end the sample."""
    scheduler.set_timesteps(steps)
    sample, guesses = torch.from_numpy(x.copy()), []
    with torch.inference_mode():
        for t in scheduler.timesteps:
            made = scheduler.step(network(sample, t), t, sample)
            sample = made.prev_sample
            guesses.append(made.pred_original_sample)
    return [*guesses[:-1], sample]


def watch(sampler: Sampler, steps: int, **more: Any) -> list[Any]:
    return list(sampler.watch(2, seed=3, options=SamplingOptions(steps=steps), **more))


def require_same(watched: list[Any], expected: list[torch.Tensor]) -> None:
    assert len(watched) == len(expected)
    for got, wanted in zip(watched, expected, strict=True):
        np.testing.assert_allclose(got.output, wanted.numpy(), atol=SAME)


def export_verified(folder: Path, target: Path, **more: Any) -> Any:
    export(folder, target, **more)
    bundle = open_bundle(target)
    assert verify_bundle(bundle).passed
    return bundle


def test_ddim_step_by_step(unet_folder: Path, tmp_path: Path) -> None:
    bundle = export_verified(unet_folder, tmp_path / "d.genx")
    assert bundle.manifest.sampler.steps == 50
    unet = diffusers.UNet2DModel.from_pretrained(unet_folder / "unet", low_cpu_mem_usage=False)
    with bundle.sampler() as sampler:
        watched = watch(sampler, 10)
    expected = run_library(
        lambda x, t: unet(x, t).sample, diffusers.DDIMScheduler(100), watched[0].feeds["x"], 10
    )
    require_same(watched, expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
        {"trained_betas": np.linspace(1e-3, 0.1, 100).tolist(), "prediction_type": "sample"},
        {"timestep_spacing": "trailing", "set_alpha_to_one": False, "steps_offset": 1},
        {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1},
        {"clip_sample_range": 0.2},
        {
            "rescale_betas_zero_snr": True,
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
        },
    ],
)
def test_schedules_and_predictions(settings: dict[str, Any], tmp_path: Path) -> None:
    scheduler = diffusers.DDIMScheduler(100, **settings)
    scheduler.save_pretrained(tmp_path)
    fields, _ = describe_scheduler(tmp_path, "DDIMScheduler")
    spec = msgspec.convert(
        {**fields, "steps": 10, "component": "n", "kind": "diffusion"}, DiffusionSpec
    )
    noise = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)

    def network(x: Any, time: Any) -> Any:
        return (x * 0.9 + 0.05).clip(-3, 3) * (1 + time / 1000)

    made = run_loop(
        spec,
        (NormalPrior(name="x", shape=(1, 4, 4)),),
        OutputSpec(name="image", kind="tensor"),
        {"n": lambda f: {"y": network(f["x"], f["time"].reshape(-1, 1, 1, 1))}},
        {"n": ["x", "time"]},
        Draw(seed=0, indices=range(2), feeds={"x": noise}),
        size=2,
        max_batch=2,
    )
    expected = run_library(network, scheduler, noise, 10)
    assert made.steps is not None
    np.testing.assert_allclose(made.steps, torch.stack(expected).numpy(), atol=SAME)


def test_ddpm_on_the_same_noise(
    unet_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ddpm"
    unet = diffusers.UNet2DModel.from_pretrained(unet_folder / "unet", low_cpu_mem_usage=False)
    save_pipeline(folder, "DDPMPipeline", diffusers.DDPMScheduler(10), unet=unet)
    bundle = export_verified(folder, tmp_path / "d.genx")
    assert (bundle.manifest.sampler.solver, bundle.manifest.sampler.steps) == ("ddpm", 10)
    with bundle.sampler() as sampler:
        watched = watch(sampler, 10)
    noises = iter(
        np.stack([NoiseStream(3, f"step/{k}").at(i).standard_normal((1, 8, 8)) for i in (0, 1)])
        for k in range(10)
    )
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddpm.randn_tensor",
        lambda *_, **__: torch.from_numpy(next(noises).astype(np.float32)),
    )
    expected = run_library(
        lambda x, t: unet(x, t).sample, diffusers.DDPMScheduler(10), watched[0].feeds["x"], 10
    )
    require_same(watched, expected)


def test_latent_diffusion(tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet, vq = make_unet(2), make_vq().eval()
    scheduler = diffusers.DDIMScheduler(100, clip_sample=False)
    folder = save_pipeline(tmp_path / "ldm", "LDMPipeline", scheduler, unet=unet, vqvae=vq)
    bundle = export_verified(folder, tmp_path / "l.genx")
    with bundle.sampler() as sampler:
        watched = watch(sampler, 5)
    latents = run_library(lambda x, t: unet(x, t).sample, scheduler, watched[0].feeds["x"], 5)
    with torch.inference_mode():
        image = vq.decode(latents[-1] / vq.config.scaling_factor).sample
    np.testing.assert_allclose(watched[-1].output, image.numpy(), atol=SAME)


def test_dit_with_guidance(tmp_path: Path) -> None:
    torch.manual_seed(0)
    dit, vae = make_dit().eval(), make_kl().eval()
    for parameter in dit.parameters():  # some of them start as zeros, labels would not matter
        torch.nn.init.normal_(parameter, std=0.2)
    scheduler = diffusers.DDIMScheduler(100, clip_sample=False)
    folder = save_pipeline(tmp_path / "dit", "DiTPipeline", scheduler, transformer=dit, vae=vae)
    index = json.loads((folder / "model_index.json").read_text())
    index["id2label"] = {"0": "cat", "1": "dog", "2": "newt"}
    (folder / "model_index.json").write_text(json.dumps(index))
    bundle = export_verified(folder, tmp_path / "d.genx")
    assert bundle.manifest.priors[1].labels == ("cat", "dog", "newt")
    with bundle.sampler() as sampler:
        watched = watch(sampler, 4, conditions={"label": "newt"})

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        with_it, without = (
            dit(x, timestep=t.expand(2), class_labels=torch.full((2,), label)).sample[:, :2]
            for label in (2, 3)
        )
        guided: torch.Tensor = without + 4.0 * (with_it - without)
        return guided

    latents = run_library(network, scheduler, watched[0].feeds["x"], 4)
    with torch.inference_mode():
        image = vae.decode(latents[-1] / vae.config.scaling_factor).sample
    np.testing.assert_allclose(watched[-1].output, image.numpy(), atol=SAME)


def test_consistency_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = make_unet(3, num_class_embeds=4)
    scheduler = diffusers.CMStochasticIterativeScheduler(sigma_data=0.4)
    kind = "ConsistencyModelPipeline"
    folder = save_pipeline(tmp_path / "cm", kind, scheduler, unet=unet)
    bundle = export_verified(folder, tmp_path / "c.genx")
    with bundle.sampler() as sampler:
        batch = next(sampler.sample(2, seed=3, conditions={"label": 2}))
    scheduler.set_timesteps(1)
    x, t = torch.from_numpy(batch.feeds["z"]) * scheduler.init_noise_sigma, scheduler.timesteps[0]
    with torch.inference_mode():
        made = unet(scheduler.scale_model_input(x, t), t, class_labels=torch.tensor([2, 2])).sample
        expected = scheduler.step(made, t, x).prev_sample
    np.testing.assert_allclose(batch.output, expected.numpy(), atol=SAME)


@pytest.mark.parametrize("make", [make_kl, make_vq, make_tiny])
def test_autoencoders(make: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = make().eval()
    own.save_pretrained(tmp_path / "ae")
    priors = ["z=normal:4x4x4"] if make is make_tiny else []
    bundle = export_verified(tmp_path / "ae", tmp_path / "a.genx", priors=priors)
    kl = make is make_kl
    assert bundle.manifest.family == ("vae" if kl else "autoencoder")
    with bundle.sampler() as sampler:
        batch = next(sampler.sample(2, seed=3))
    golden = bundle.golden()
    scale = own.config.scaling_factor
    with torch.inference_mode():
        image = own.decode(torch.from_numpy(batch.feeds["z"]) / scale).sample
        encoded = own.encode(torch.from_numpy(golden["encoder/in/image"]), return_dict=False)[0]
    np.testing.assert_allclose(batch.output, image.numpy(), atol=SAME)
    mean = encoded.mean if kl else encoded
    latent = golden["encoder/out/mean" if kl else "encoder/out/z"]
    np.testing.assert_allclose(latent, mean.numpy() * scale, atol=SAME)
    if kl:
        deviation = np.exp(golden["encoder/out/log_variance"] / 2)
        np.testing.assert_allclose(deviation, encoded.std.numpy() * scale, rtol=SAME)


TOKENIZER = {
    "model": {"type": "BPE", "vocab": {chr(97 + i): i + 2 for i in range(26)} | {"Ġhi": 28}},
    "added_tokens": [{"id": 0, "content": "<|start|>", "special": True}],
    "decoder": {"type": "ByteLevel"},
}


@pytest.mark.parametrize("make", [make_gpt2, make_llama])
def test_text_models(make: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = make().eval()
    own.save_pretrained(tmp_path / "text")
    (tmp_path / "text" / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    bundle = export_verified(tmp_path / "text", tmp_path / "t.genx")
    assert bundle.manifest.sampler.stop == ((0,) if make is make_gpt2 else (1,))
    options = SamplingOptions(temperature=0, prompt="cab hi")
    with bundle.sampler() as sampler:
        tokens = next(sampler.sample(1, options=options)).output
    prompt = torch.tensor([[0, 4, 2, 3, 28]])
    expected = own.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_length=13, do_sample=False
    ).numpy()[0, 1:]
    np.testing.assert_array_equal(tokens[0, : len(expected)], expected)
    require_logits(own, bundle)


def require_logits(own: Any, bundle: Any) -> None:
    """Compare the logits along a text, a step at a time, with the library's own in one pass."""
    text = torch.tensor([[0, 5, 9, 9, 30, 2, 7, 12, 3, 8, 21, 20]])
    with torch.inference_mode():
        expected = own(text).logits[0].numpy()
    shape = bundle.manifest.sampler.states[0].shape
    cache = np.zeros((1, *shape), np.float32)
    with bundle.sampler() as sampler:
        for place, token in enumerate(text[0].tolist()):
            feeds = {"token": np.array([token]), "position": np.array([place]), "cache": cache}
            made = sampler.session.run(feeds)
            np.testing.assert_allclose(next(iter(made.values()))[0], expected[place], atol=SAME)
            cache[:, :, :, :, place : place + 1] = made["next_cache"]


@pytest.mark.parametrize(
    ("kind", "more", "length"),
    [("Mistral", {"sliding_window": 8}, 8), ("Qwen2", {"rope_theta": 1e4}, 12)],
)
def test_models_built_like_llama(
    kind: str, more: dict[str, Any], length: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    own = make_llama(kind, **more).eval()
    own.save_pretrained(tmp_path / "text")
    model = load(tmp_path / "text")
    assert model.sampler.length == length  # type: ignore[union-attr]
    assert any("no tokenizer.json" in warning for warning in model.warnings)
    assert any("looks back on 8" in warning for warning in model.warnings) == (length == 8)
    cache = np.zeros((1, *model.sampler.states[0].shape), np.float32)  # type: ignore[union-attr]
    text = torch.tensor([[0, 5, 9, 9, 30, 2, 7, 12]])
    with torch.inference_mode():
        expected = own(text).logits[0].numpy()
    for place, token in enumerate(text[0].tolist()):
        feeds = {"token": np.array([token]), "position": np.array([place]), "cache": cache}
        logits, new = model.components[0].run(feeds).values()
        np.testing.assert_allclose(logits[0], expected[place], atol=SAME)
        cache[:, :, :, :, place : place + 1] = new


def test_vocabularies(tmp_path: Path) -> None:
    words = {"Ġthe": 0, "é": 1, "Ã©": 2, "Ã": 3, "Ċ": 4}
    (tmp_path / "vocab.json").write_text(json.dumps(words))
    assert read_vocabulary(tmp_path, 6)[0] == (" the", "\ufffd", "é", "\ufffd", "\n", "")
    pieces = {
        "model": {"type": "BPE", "vocab": {"<s>": 0, "▁a": 1, "<0x0A>": 2, "<0xC3>": 3}},
        "added_tokens": [{"id": 0, "content": "<s>", "special": True}],
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}]},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(pieces))
    assert read_vocabulary(tmp_path, 4)[0] == ("", " a", "\n", "\ufffd")
    with pytest.raises(SourceError, match="has token 3, the model knows 0 to 2"):
        read_vocabulary(tmp_path, 3)


def copy_folder(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_pickled_weights_are_refused(unet_folder: Path, tmp_path: Path) -> None:
    folder = copy_folder(unet_folder, tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"model\.bin is refused: it is a pickle.*save_pretr"):
        load(folder)
    make_gpt2().save_pretrained(tmp_path / "gpt2")
    (tmp_path / "gpt2" / "model.safetensors").rename(tmp_path / "gpt2" / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin is refused: it is a pickle"):
        load(tmp_path / "gpt2")


def test_damaged_folders(unet_folder: Path, tmp_path: Path) -> None:
    folder = copy_folder(unet_folder, tmp_path)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(WeightsError, match="truncated or not a safetensors file"):
        load(folder)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"has no diffusion_pytorch_model\.safetensors"):
        load(folder)
    tensors = {"conv_in.weight": torch.zeros(8, 1, 3, 3)}
    safetensors.torch.save_file(tensors, weights)
    with pytest.raises(WeightsError, match="tensors of this UNet2DModel are missing"):
        load(folder)
    weights.write_bytes(whole)
    (folder / "unet" / "config.json").write_text("{")
    with pytest.raises(SourceError, match=r"config\.json is not JSON"):
        load(folder)
    shutil.rmtree(folder / "scheduler")
    (folder / "unet" / "config.json").write_bytes(
        (unet_folder / "unet" / "config.json").read_bytes()
    )
    with pytest.raises(SourceError, match=r"there is no .*scheduler_config\.json"):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "settings", "match"),
    [
        ("DDIMScheduler", {"thresholding": True}, "cannot express thresholding"),
        ("DDPMScheduler", {"variance_type": "learned_range"}, "cannot express variance_type"),
        ("DDIMScheduler", {"rescale_betas_zero_snr": True}, "express rescale_betas_zero_snr"),
        ("PNDMScheduler", {}, "holds a PNDMScheduler, which genx cannot export"),
    ],
)
def test_schedulers_beyond_a_bundle(
    kind: str, settings: dict[str, Any], match: str, tmp_path: Path
) -> None:
    getattr(diffusers, kind)(100, **settings).save_pretrained(tmp_path)
    with pytest.raises(SourceError, match=match):
        describe_scheduler(tmp_path, kind)


UNET, TEXT, SCHEDULER = "unet/config.json", "config.json", "scheduler/scheduler_config.json"


@pytest.mark.parametrize(
    ("make", "file", "key", "value", "match"),
    [
        ("unet", UNET, "sample_size", None, r"unet/config\.json has no sample_size, expected the"),
        ("unet", UNET, "sample_size", "x", r"config\.json has sample_size = 'x', expected"),
        ("unet", UNET, "sample_size", [8, 8, 8], r"has sample_size = \[8, 8, 8\], expected"),
        ("unet", UNET, "sample_size", [8, 0], r"has sample_size = \[8, 0\], expected"),
        (
            "unet",
            SCHEDULER,
            "prediction_type",
            ["a"],
            r"config\.json has prediction_type = \['a'\]",
        ),
        ("unet", SCHEDULER, "steps_offset", "x", "has steps_offset = 'x', expected a whole number"),
        ("unet", SCHEDULER, "steps_offset", 100, "cannot express steps_offset = 100"),
        (
            "unet",
            SCHEDULER,
            "clip_sample_range",
            "x",
            "has clip_sample_range = 'x', expected a num",
        ),
        ("unet", SCHEDULER, "beta_start", -1, r"config\.json: a schedule's betas are above 0"),
        ("unet", SCHEDULER, "timestep_spacing", None, "has no timestep_spacing, expected a text"),
        ("kl", TEXT, "scaling_factor", "x", "has scaling_factor = 'x', expected a number"),
        ("kl", TEXT, "scaling_factor", 0, "has scaling_factor = 0, expected a finite number other"),
        ("kl", TEXT, "scaling_factor", float("nan"), "has scaling_factor = nan, expected a finite"),
        ("kl", TEXT, "shift_factor", "x", "has shift_factor = 'x', expected a number"),
        ("vq", TEXT, "sample_size", None, r"config\.json has no sample_size, expected the size"),
        ("gpt2", TEXT, "architectures", {"a": 1}, "which genx cannot export"),
        ("gpt2", "generation_config.json", "bos_token_id", [-1], r"has bos_token_id = \[-1\], exp"),
        (
            "gpt2",
            "generation_config.json",
            "eos_token_id",
            ["x"],
            r"n_config\.json has eos_token_id",
        ),
        (
            "gpt2",
            "tokenizer.json",
            "model",
            3,
            r"tokenizer\.json has model = 3, expected an object",
        ),
        (
            "gpt2",
            "tokenizer.json",
            "model",
            {"vocab": {"a": "x"}},
            "has 'a' as token 'x', expected",
        ),
        ("gpt2", "tokenizer.json", "model", {"vocab": [3]}, "has 3 as token 0, expected a text"),
        ("gpt2", "tokenizer.json", "added_tokens", [["x"]], r"tokenizer\.json: added_tokens"),
        (
            "gpt2",
            "model.safetensors.index.json",
            "weight_map",
            3,
            "has weight_map = 3, expected an",
        ),
    ],
)
def test_a_malformed_value_is_told_by_file_and_key(
    make: str, file: str, key: str, value: object, match: str, tmp_path: Path, unet_folder: Path
) -> None:
    folder = tmp_path / "copy"
    if make == "unet":
        copy_folder(unet_folder, tmp_path)
    else:
        {"kl": make_kl, "vq": make_vq, "gpt2": make_gpt2}[make]().save_pretrained(folder)
    path = folder / file
    if file == "tokenizer.json":
        path.write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    if file.endswith("index.json"):
        (folder / "model.safetensors").unlink()
        path.write_text("{}")
    fields = json.loads(path.read_text())
    fields[key] = value
    path.write_text(json.dumps(fields))
    with pytest.raises(SourceError, match=match):
        load(folder)


@pytest.mark.parametrize("make", ["unet", "kl", "vq", "gpt2"])
def test_whatever_a_folder_says_nothing_but_our_own_errors_comes_of_it(
    make: str, tmp_path: Path, unet_folder: Path
) -> None:
    folder = tmp_path / "copy"
    if make == "unet":
        copy_folder(unet_folder, tmp_path)
    else:
        {"kl": make_kl, "vq": make_vq, "gpt2": make_gpt2}[make]().save_pretrained(folder)
    for path in sorted(folder.rglob("*.json")):
        whole = json.loads(path.read_text())
        for key, value in itertools.product(whole, (None, "x", -1)):
            path.write_text(json.dumps({**whole, key: value}))
            with suppress(GenxError):
                load(folder)
        path.write_text(json.dumps(whole))


def test_what_is_no_model_of_theirs(unet_folder: Path, tmp_path: Path) -> None:
    folder = copy_folder(unet_folder, tmp_path)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": ["mine", "UNet2DModel"]}))
    with pytest.raises(SourceError, match=r"unet is \['mine', .*code that is not the library's"):
        load(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(SourceError, match="holds a FluxPipeline, which genx cannot export"):
        load(folder)
    with pytest.raises(InputError, match="brings its own weights"):
        load_source(str(unet_folder), SourceRequest(weights=Path("w.safetensors")))
    config = tmp_path / "other" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"architectures": ["BertModel"]}))
    with pytest.raises(SourceError, match="holds a BertModel, which genx cannot export"):
        load(config.parent)
    config.write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "auto_map": {"a": "b"}}))
    with pytest.raises(SourceError, match="cannot express auto_map"):
        load(config.parent)
    config.write_text("{}")
    with pytest.raises(SourceError, match="names no model"):
        load(config.parent)


def test_a_missing_extra_is_one_line(unet_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(SourceError, match=r"needs diffusers.*pip install 'genx\[huggingface\]'"):
        load(unet_folder)
