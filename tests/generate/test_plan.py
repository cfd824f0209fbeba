"""What a plan says, and what is refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.generate.conftest import DATA, MakePlan

from genx_runtimes import errors
from genx_runtimes.errors import BackendUnavailableError, InputError
from genx_runtimes.generate import ImageSettings, Plan, find_runner
from genx_runtimes.samplers.loop import SamplingOptions


def test_shards_are_ranges(plan: MakePlan) -> None:
    made = plan(n=70, shard_size=32, start=1000)
    assert made.count == 3
    assert [made.span(i) for i in range(3)] == [
        range(1000, 1032),
        range(1032, 1064),
        range(1064, 1070),
    ]
    assert made.name(2) == "data/shard-00002.tar"
    assert plan(n=3, format="png").name(0) == "data/shard-00000"


def test_a_plan_is_json(plan: MakePlan) -> None:
    made = plan(
        conditions={"label": np.int64(2)},
        image=ImageSettings(encoding="png", compression=1),
        truncation=1.5,
    )
    assert msgspec.json.decode(msgspec.json.encode(made), type=Plan) == made
    assert made.settings.conditions == {"label": 2}
    assert set(made.settings.versions) == {"genx", "numpy", "onnxruntime", "zlib"}
    assert "pillow" in plan(image=ImageSettings(encoding="jpeg")).settings.versions
    assert "pyarrow" in plan(format="parquet").settings.versions


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"n": 0}, "n is 0, expected 1 or more"),
        ({"seed": -1}, "seed is -1"),
        ({"start": -1}, "start is -1"),
        ({"shard_size": 0}, "the shard size is 0, expected 1 or more"),
        (
            {"n": 10**6, "shard_size": 16},
            "1000000 samples in shards of 16 make 62500 shards, 10000 are allowed; --shard-size",
        ),
        ({"format": "parket"}, "unknown format 'parket'; did you mean 'parquet'?"),
        ({"batch": 17}, "batch is 17, this bundle takes 1 to 16"),
        ({"threads": 0}, "threads is 0, expected 1 or more"),
        ({"backend": "onnxruntim"}, "unknown backend"),
        ({"backend": "openvino", "allow_fallback": True}, "fallback"),
        ({"precision": "int8"}, "the bundle has no precision 'int8'"),
        ({"conditions": {"lable": 1}}, "unknown condition 'lable'; did you mean 'label'?"),
        ({"truncation": 0.0}, "truncation is 0.0"),
        ({"options": SamplingOptions(steps=3)}, "--steps has no meaning for this bundle"),
        ({"format": "npy", "image": ImageSettings()}, "image settings have no meaning"),
        ({"format": "png", "image": ImageSettings(encoding="jpeg")}, "--format png writes PNG"),
        ({"image": ImageSettings(encoding="gif")}, "images cannot be written as 'gif'"),  # type: ignore[arg-type]
        ({"image": ImageSettings(quality=5)}, "PNG loses nothing: it has no quality"),
        ({"image": ImageSettings(encoding="webp", compression=5)}, "webp has a quality"),
        ({"image": ImageSettings(compression=10)}, "compression is 10, expected 0 to 9"),
        ({"image": ImageSettings(encoding="jpeg", quality=0)}, "quality is 0, expected 1 to 100"),
    ],
)
def test_what_is_refused(plan: MakePlan, settings: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        plan(**settings)


def test_png_is_for_images(plan: MakePlan) -> None:
    with pytest.raises(InputError, match=r"--format png is for images, .* a tensor; choose"):
        plan(DATA / "tiny_codes.genx", format="png")
    with pytest.raises(InputError, match="image settings have no meaning"):
        plan(DATA / "tiny_codes.genx", image=ImageSettings())


def test_parquet_without_pyarrow_names_the_command(
    plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genx_runtimes.generate.formats.find_spec", lambda _: None)
    with pytest.raises(BackendUnavailableError) as caught:
        plan(format="parquet")
    assert str(caught.value) == "--format parquet needs pyarrow; pip install 'genx[parquet]'"


def test_a_last_batch_that_is_too_small(plan: MakePlan, tmp_path: Path) -> None:
    from tests.kinds import make_kind

    bundle = make_kind("tensor", tmp_path)
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"min": 1', '"min": 4'))
    assert plan(bundle, n=40, shard_size=20, batch=8).settings.batch == 8
    with pytest.raises(InputError, match="n = 18 in batches of 8 leaves 2"):
        plan(bundle, n=38, shard_size=20, batch=8)


def test_runners() -> None:
    from genx_runtimes.generate.local import run_local

    assert find_runner("local") is run_local
    with pytest.raises(InputError, match="unknown runner 'loca'; did you mean 'local'"):
        find_runner("loca")


def test_every_error_can_be_told_by_a_worker() -> None:
    from genx_runtimes.generate import Failure

    for err in (errors.OutputError("full", fix="free some"), errors.NonFiniteError("NaN")):
        again = Failure.of(err).error()
        assert (type(again), str(again)) == (type(err), str(err))
    assert str(Failure.of(ValueError("a\nb")).error()) == "ValueError: a b"
