"""Encoders, on the tiny VAE: image (1, 8, 8) in 0..1 -> mean and log_variance (4,)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from genx_runtimes import open_bundle
from genx_runtimes.bundle import Bundle
from genx_runtimes.encoder_spec import find_encoder
from genx_runtimes.encoding import Encoder, Encoding, draw_noise, reconstruct
from genx_runtimes.errors import InputError
from genx_runtimes.image_inputs import find_images
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.noise import NoiseStream
from genx_runtimes.session import Array

DATA = Path(__file__).parents[1] / "data"
CLOSE = 1e-6  # other batch sizes add up in another order
IMAGES = np.random.default_rng(0).random((7, 1, 8, 8), np.float32)


@pytest.fixture
def vae() -> Bundle:
    return open_bundle(DATA / "tiny_vae.genx")


def run(vae: Bundle, images: Array = IMAGES, **options: object) -> list[Encoding]:
    with vae.encoder() as encoder:
        return list(encoder.encode(images, **options))  # type: ignore[arg-type]


def test_posteriors_are_those_of_the_graph(vae: Bundle) -> None:
    parts = run(vae, batch=3)
    assert [(part.start, len(part.z)) for part in parts] == [(0, 3), (3, 3), (6, 1)]
    with vae.session("encoder") as session:
        expected = session.run({"image": IMAGES})
    for name in ("mean", "log_variance"):
        got = np.concatenate([getattr(part, name) for part in parts])
        assert np.abs(got - expected[name]).max() < CLOSE
    for part in parts:
        assert part.mean is not None
        assert np.array_equal(part.z, part.mean)
    assert np.array_equal(np.concatenate([part.images for part in parts]), IMAGES)


def test_posterior_samples_are_the_reparameterisation_of_a_named_stream(vae: Bundle) -> None:
    (part,) = run(vae, sample=True, seed=5)
    stream = NoiseStream(5, "posterior/z")
    noise = np.array([stream.at(i).standard_normal(4) for i in range(7)])
    assert part.mean is not None
    assert part.log_variance is not None
    expected = part.mean + np.exp(part.log_variance / 2) * noise
    assert part.z.dtype == np.float32
    assert np.abs(part.z - expected).max() < CLOSE
    prior = find_encoder(vae.manifest).prior
    assert np.array_equal(draw_noise(prior, 5, range(2, 4)), noise.astype(np.float32)[2:4])


def test_samples_depend_on_seed_and_index_alone(vae: Bundle) -> None:
    (whole,) = run(vae, sample=True, seed=3)
    cut = np.concatenate([part.z for part in run(vae, sample=True, seed=3, batch=2)])
    (late,) = run(vae, IMAGES[4:], sample=True, seed=3, start=4)
    assert np.abs(cut - whole.z).max() < CLOSE
    assert np.abs(late.z - whole.z[4:]).max() < CLOSE
    (other,) = run(vae, sample=True, seed=4)
    assert np.abs(other.z - whole.z).max() > 0.1


def test_reconstructions_are_the_decoder_s(vae: Bundle) -> None:
    with vae.encoder() as encoder, vae.sampler() as sampler:
        made = list(reconstruct(sampler, encoder.encode(IMAGES, batch=4, start=2)))
    (whole,) = run(vae)
    with vae.session("decoder") as session:
        expected = session.run({"z": whole.z})["image"]
    assert np.abs(np.concatenate([b.output for _, b in made]) - expected).max() < CLOSE
    assert [encoding.start for encoding, _ in made] == [2, 6]
    assert made[0][1].images().shape == (4, 8, 8, 1)
    with vae.sampler() as sampler, pytest.raises(InputError, match="'z' is the encoding"):
        reconstruct(sampler, [], conditions={"z[0]": 1})


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:, :, :4], r"image 0 has shape \(1, 4, 8\), expected \(1, 8, 8\) \(C, H, W\)"),
        (IMAGES.astype(np.float64), r"image 0 has dtype float64, expected float32 in 0..1"),
        ((IMAGES * 255).astype(np.uint8), "image 0 has dtype uint8"),
        (IMAGES * 2 - 1, r"image 0 has values -[\d.]+ to [\d.]+, expected 0 to 1"),
        (np.where(IMAGES > 0.9, np.nan, IMAGES), "image 0 has values nan to nan"),
    ],
)
def test_images_that_do_not_fit(vae: Bundle, images: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(vae, images)


def test_arguments_that_do_not_fit(vae: Bundle) -> None:
    for options, message in (
        ({"batch": 17}, "batch is 17, this bundle takes 1 to 16"),
        ({"seed": -1, "sample": True}, "seed is -1"),
        ({"start": -1}, "start is -1"),
    ):
        with pytest.raises(InputError, match=message):
            run(vae, **options)


def test_a_rest_below_the_smallest_batch(vae: Bundle) -> None:
    vae.manifest = msgspec.structs.replace(vae.manifest, batch=BatchBounds(min=2, max=16))
    with pytest.raises(
        InputError, match="1 images are left over, the bundle's smallest batch is 2"
    ):
        run(vae, batch=3)


def test_bundles_without_an_encoder(tiny_bundle: Path, vae: Bundle) -> None:
    with pytest.raises(InputError, match="tiny has no encoder, its family is 'generator'"):
        open_bundle(tiny_bundle).encoder()
    manifest = vae.manifest
    decoder, encoder = manifest.components
    single = msgspec.structs.replace(encoder, outputs=encoder.outputs[:1])
    with pytest.raises(InputError, match=r"gives mean \(4,\), expected mean and log_variance"):
        find_encoder(msgspec.structs.replace(manifest, components=(decoder, single)))


@pytest.mark.parametrize(
    ("taken", "made", "layout", "message"),
    [
        ((1, 8, 8), (3, 8, 8), "NCHW", r"takes image \(1, 8, 8\), its decoder makes image \(3, 8"),
        ((1, 8, 8), (1, 16, 16), "NCHW", r"makes image \(1, 16, 16\), expected images of one"),
        ((1, 8, 8), (8, 8), "NHW", r"makes image \(8, 8\), expected images of one shape"),
        ((8, 8), (8, 8), "NHW", r"takes image \(8, 8\), its decoder makes image \(8, 8\), expe"),
    ],
)
def test_an_encoder_that_takes_no_image_of_the_decoder_s(
    vae: Bundle, taken: tuple[int, ...], made: tuple[int, ...], layout: str, message: str
) -> None:
    change = msgspec.structs.replace
    decoder, encoder = vae.manifest.components
    image, output = encoder.inputs[0], decoder.outputs[0]
    manifest = change(
        vae.manifest,
        output=change(vae.manifest.output, layout=layout),
        components=(
            change(decoder, outputs=(change(output, shape=("batch", *made)),)),
            change(encoder, inputs=(change(image, shape=("batch", *taken)),)),
        ),
    )
    with pytest.raises(InputError, match=message):
        find_encoder(manifest)


def test_an_encoder_without_a_decoder_of_one_pass(vae: Bundle) -> None:
    loop = open_bundle(DATA / "tiny_diffusion.genx").manifest.sampler
    with pytest.raises(InputError, match="sampler of tiny_vae is 'diffusion', an encoder"):
        find_encoder(msgspec.structs.replace(vae.manifest, sampler=loop))
    audio = msgspec.structs.replace(vae.manifest.output, kind="audio")
    with pytest.raises(InputError, match="decoder makes audio, expected one image and an image"):
        find_encoder(msgspec.structs.replace(vae.manifest, output=audio))


def test_pictures_for_a_model_of_other_channels(vae: Bundle, tmp_path: Path) -> None:
    spec = replace(find_encoder(vae.manifest), shape=(2, 8, 8))
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(InputError, match="takes images of 2 channels, a picture has 1, 3 or 4"):
        find_images([tmp_path / "x.png"], spec)
    np.save(tmp_path / "x.npy", np.zeros((3, 2, 8, 8), np.float32))
    assert len(find_images([tmp_path / "x.npy"], spec)) == 3


class Exact:
    """The session of an encoder that gives the latent itself."""

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        return {"z": feeds["image"].reshape(len(feeds["image"]), -1)[:, :4] - 1}


def test_an_encoder_that_gives_the_latent_itself(vae: Bundle) -> None:
    decoder, encoder = vae.manifest.components
    z = msgspec.structs.replace(encoder.outputs[0], name="z")
    exact = msgspec.structs.replace(encoder, outputs=(z,))
    spec = find_encoder(msgspec.structs.replace(vae.manifest, components=(decoder, exact)))
    made = Encoder(spec, Exact())  # type: ignore[arg-type]
    (part,) = made.encode(IMAGES)
    assert part.mean is None
    assert list(part.arrays(sample=False)) == ["z"]
    assert np.array_equal(part.z, IMAGES.reshape(7, -1)[:, :4] - 1)
    with pytest.raises(InputError, match="there is no posterior to sample"):
        made.encode(IMAGES, sample=True)
