"""The rewrites against PyTorch, over random configurations, and where they do not apply."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from genx_export.graph import serialise
from genx_export.passes import rewrite, run_passes
from genx_export.passes.decision import Decision
from genx_export.torch_component import ModuleComponent
from genx_runtimes.manifest import BatchBounds

# Rounding: the terms are the same and summed in another order. 500 configurations stay below 5e-7.
TOLERANCE = 1e-5
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def export(module: nn.Module, example: torch.Tensor) -> ir.Model:
    """Translate with a dynamic batch, as `genx export` does."""
    component = ModuleComponent("graph", module)
    (parameter,) = component.parameters
    model = component.translate({parameter: example.numpy()}, BatchBounds(min=1, max=64))
    run_passes(model)
    return model


def make_graph(
    operator: str, inputs: list[np.ndarray | None], shape: list[int | str], **attributes: object
) -> ir.Model:
    """Return a graph of one operator on `x`, with constants behind it."""
    x = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    values: list[ir.Value | None] = [x]
    for index, array in enumerate(inputs):
        if array is None:
            values.append(None)
            continue
        name = f"w{index}"
        values.append(ir.Value(name=name, const_value=ir.tensor(array, name=name)))
        values[-1].shape, values[-1].dtype = ir.Shape(array.shape), ir.DataType.FLOAT
    node = ir.node(operator, values, attributes, name="layer")  # type: ignore[arg-type]
    node.outputs[0].name, node.outputs[0].dtype = "y", ir.DataType.FLOAT
    node.outputs[0].shape = ir.Shape(["batch", *(None for _ in shape[1:])])
    constants = [v for v in values[1:] if v is not None]
    graph = ir.Graph(
        [x], node.outputs, nodes=[node], initializers=constants, opset_imports={"": 20}, name="g"
    )
    return ir.Model(graph, ir_version=9)


def run(model: ir.Model, x: torch.Tensor) -> np.ndarray:
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    session = ort.InferenceSession(
        serialise("graph", model), settings, providers=["CPUExecutionProvider"]
    )
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    return result


def assert_equal(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.shape == expected.shape
    spread = max(float(np.ptp(expected)), float(np.abs(expected).max()), 1e-3)
    assert float(np.abs(got - expected).max()) / spread <= TOLERANCE


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def fired(decisions: list[Decision], name: str) -> list[Decision]:
    return [d for d in decisions if d.rewrite == name and d.fired]


def draw_transposed(draw: random.Random) -> tuple[nn.Module, torch.Tensor] | None:
    """Return a random layer and its input, or None where the output would be empty."""
    count = draw.choice([1, 2, 2, 2, 3])
    kernel = tuple(draw.randint(1, 5) for _ in range(count))
    same = draw.random() < 0.4
    stride = tuple(draw.randint(1, 4) for _ in range(1 if same else count)) * (count if same else 1)
    dilation = tuple(draw.randint(1, 3) for _ in range(count))
    padding = tuple(draw.randint(0, 4) for _ in range(count))
    extra = tuple(draw.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    groups = draw.choice([1, 1, 2, 3])
    inputs, outputs = groups * draw.randint(1, 3), groups * draw.randint(1, 3)
    if draw.random() < 0.15:
        inputs = outputs = groups = 4  # depth-wise
    sizes = [draw.choice([1, 1, 2, 3, 5, 7]) for _ in range(count)]
    lengths = [
        (n - 1) * s + d * (k - 1) + 1 + e - 2 * p
        for n, s, d, k, e, p in zip(sizes, stride, dilation, kernel, extra, padding, strict=True)
    ]
    if min(lengths) < 1:
        return None
    layer = TRANSPOSED[count](
        inputs, outputs, kernel, stride, padding, extra, groups, draw.random() < 0.7, dilation
    )
    return layer, torch.randn(draw.randint(1, 3), inputs, *sizes)


@pytest.mark.parametrize("seed", range(5))
def test_conv_transpose_over_random_configurations(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    done = 0
    while done < 110:
        drawn = draw_transposed(draw)
        if drawn is None:
            continue
        layer, x = drawn
        constants = [p.detach().numpy() for p in (layer.weight, layer.bias) if p is not None]
        model = make_graph(
            "ConvTranspose",
            constants,
            ["batch", *x.shape[1:]],
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=list(layer.padding) * 2,
            output_padding=list(layer.output_padding),
            dilations=list(layer.dilation),
            group=layer.groups,
        )
        assert any(d.fired for d in rewrite(model)), layer
        assert "ConvTranspose" not in operators(model)
        with torch.inference_mode():
            assert_equal(run(model, x), layer(x).numpy())
        done += 1


@pytest.mark.parametrize("seed", range(3))
def test_nearest_conv_over_random_configurations(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(50):
        factors = (draw.randint(1, 4), draw.randint(1, 4))
        kernel = (draw.randint(1, 5), draw.randint(1, 5))
        padding = tuple(draw.randint(0, k - 1) for k in kernel)
        groups = draw.choice([1, 1, 2])
        conv = nn.Conv2d(
            2 * groups, 3 * groups, kernel, padding=padding, groups=groups, bias=draw.random() < 0.7
        )
        x = torch.randn(draw.randint(1, 3), 2 * groups, draw.randint(2, 6), draw.randint(2, 6))
        if any(
            n * f + 2 * p < k
            for n, f, p, k in zip(x.shape[2:], factors, padding, kernel, strict=True)
        ):
            continue
        constants = [p.detach().numpy() for p in (conv.weight, conv.bias) if p is not None]
        model = make_graph(
            "Conv",
            constants,
            ["batch", *x.shape[1:]],
            kernel_shape=list(kernel),
            pads=list(padding) * 2,
            group=groups,
        )
        insert_resize(model, factors)
        assert fired(rewrite(model), "RewriteNearestConv")
        assert {"Resize", "ConvTranspose"}.isdisjoint(operators(model))
        upsample = nn.Upsample(scale_factor=tuple(map(float, factors)))
        with torch.inference_mode():
            assert_equal(run(model, x), conv(upsample(x)).numpy())


def insert_resize(model: ir.Model, factors: tuple[int, int], **attributes: object) -> None:
    """Put nearest upsampling in front of the only node."""
    (conv,) = model.graph
    x = model.graph.inputs[0]
    scales = ir.Value(
        name="scales", const_value=ir.tensor(np.array([1, 1, *factors], np.float32), name="scales")
    )
    model.graph.register_initializer(scales)
    settings: dict[str, object] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
        **attributes,
    }
    resize = ir.node("Resize", [x, None, scales], settings, name="resize")  # type: ignore[arg-type]
    resize.outputs[0].name, resize.outputs[0].dtype = "up", ir.DataType.FLOAT
    model.graph.insert_before(conv, resize)
    conv.replace_input_with(0, resize.outputs[0])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra", "taps", "cropped"),
    [(4, 2, 1, 0, 2, True), (5, 2, 2, 1, 3, False), (2, 2, 0, 0, 1, False), (3, 2, 1, 1, 2, False)],
)
def test_no_more_taps_than_needed(
    kernel: int, stride: int, padding: int, extra: int, taps: int, cropped: bool
) -> None:
    layer = nn.ConvTranspose2d(3, 2, kernel, stride, padding, extra)
    model = export(nn.Sequential(layer), torch.randn(2, 3, 5, 6))
    rewrite(model)
    conv = next(node for node in model.graph if node.op_type == "Conv")
    assert list(conv.attributes.get_ints("kernel_shape") or ()) == [taps, taps]
    assert ("Slice" in operators(model)) is cropped


@pytest.mark.parametrize(("kernel", "padding"), [(4, 0), (4, 1), ((3, 5), (0, 2))])
def test_one_pixel_becomes_a_matrix_product(kernel: object, padding: object) -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ConvTranspose2d(6, 4, kernel, 2, padding)  # type: ignore[arg-type]

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.layer(z[:, :, None, None])

    module, z = First(), torch.randn(3, 6)
    model = export(module, z)
    assert fired(rewrite(model), "RewriteUnitGrid")
    assert operators(model) == ["Gemm", "Reshape"]
    with torch.inference_mode():
        assert_equal(run(model, z), module(z).numpy())


class Tail(nn.Module):
    """A transposed convolution and point-wise operators behind it."""

    def __init__(self, groups: int, tail: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer = nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=groups)
        self.prelu = nn.PReLU(6)
        nn.init.uniform_(self.prelu.weight, -1, 1)
        self.scale = nn.Parameter(torch.randn(6, 1, 1))
        self.tail = tail

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self.prelu(self.layer(x)) * self.scale - 0.5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "tail", [torch.relu, torch.tanh, nn.functional.silu, nn.functional.leaky_relu, torch.sigmoid]
)
def test_pointwise_operators_move_in_front_of_the_shuffle(
    groups: int, tail: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    module, x = Tail(groups, tail), torch.randn(2, 4, 3, 5)
    model = export(module, x)
    decisions = rewrite(model)
    with torch.inference_mode():
        assert_equal(run(model, x), module(x).numpy())
    assert fired(decisions, "MovePointwise")
    if tail is not nn.functional.silu:  # x * sigmoid(x) has two users of x
        assert operators(model)[-2:] == ["DepthToSpace", "Slice"]


def test_a_slice_of_channels_is_no_shuffle() -> None:
    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ConvTranspose2d(4, 6, 4, 2, 1)
            self.scale = nn.Parameter(torch.randn(3, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.layer(x)[:, :3] * self.scale)

    module, x = Sliced(), torch.randn(2, 4, 3, 5)
    model = export(module, x)
    assert not fired(rewrite(model), "MovePointwise")
    with torch.inference_mode():
        assert_equal(run(model, x), module(x).numpy())


def test_a_shared_value_is_not_moved() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ConvTranspose2d(4, 6, 4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.layer(x)
            return torch.relu(y) + y.mean(1, keepdim=True)

    module, x = Shared(), torch.randn(2, 4, 3, 5)
    model = export(module, x)
    decisions = rewrite(model)
    assert not fired(decisions, "MovePointwise")
    assert any("another user" in d.reason for d in decisions)
    with torch.inference_mode():
        assert_equal(run(model, x), module(x).numpy())


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"mode": "linear"}, "interpolates"),
        ({"coordinate_transformation_mode": "align_corners"}, "does not repeat pixels"),
        ({"nearest_mode": "ceil"}, "does not repeat pixels"),
    ],
)
def test_why_upsampling_stays(attributes: dict[str, object], reason: str) -> None:
    model = make_graph(
        "Conv", [np.ones((2, 3, 3, 3), np.float32)], ["batch", 3, 4, 4], kernel_shape=[3, 3]
    )
    insert_resize(model, (2, 2), **attributes)
    before = operators(model)
    decisions = rewrite(model)
    assert not any(d.fired for d in decisions)
    assert any(reason in d.reason for d in decisions)
    assert operators(model) == before


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [({"auto_pad": "SAME_UPPER"}, "auto_pad"), ({"output_shape": [8, 8]}, "output shape")],
)
def test_why_conv_transpose_stays(attributes: dict[str, object], reason: str) -> None:
    model = make_graph(
        "ConvTranspose",
        [np.ones((3, 2, 3, 3), np.float32)],
        ["batch", 3, 4, 4],
        strides=[2, 2],
        **attributes,
    )
    decisions = rewrite(model)
    assert [reason in d.reason for d in decisions if d.rewrite == "RewriteConvTranspose"] == [True]
    assert operators(model) == ["ConvTranspose"]


def test_uneven_strides_with_dynamic_sizes_stay() -> None:
    weights = np.ones((3, 2, 3, 3), np.float32)
    shape: list[int | str] = ["batch", 3, "height", "width"]
    model = make_graph("ConvTranspose", [weights], shape, strides=[2, 3])
    decisions = rewrite(model)
    assert not any(d.fired for d in decisions)
    assert any("not fixed" in d.reason for d in decisions)
    assert operators(model) == ["ConvTranspose"]


def test_even_strides_with_dynamic_sizes() -> None:
    layer, x = nn.ConvTranspose2d(3, 2, 4, 2, 1), torch.randn(2, 3, 5, 7)
    constants = [layer.weight.detach().numpy(), layer.bias.detach().numpy()]
    shape: list[int | str] = ["batch", 3, "height", "width"]
    model = make_graph("ConvTranspose", constants, shape, strides=[2, 2], pads=[1, 1, 1, 1])
    assert any(d.fired for d in rewrite(model))
    with torch.inference_mode():
        assert_equal(run(model, x), layer(x).numpy())


@pytest.mark.parametrize("seed", range(3))
def test_group_norm_over_random_configurations(seed: int) -> None:
    """Means far from zero and tiny variances included: what cancels in E[x^2] - E[x]^2."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(5):
        groups, width = draw.randint(1, 4), draw.randint(1, 4)
        channels = groups * width
        affine, epsilon = draw.random() < 0.7, draw.choice([1e-5, 1e-3, 0.1])
        norm = nn.GroupNorm(groups, channels, epsilon, affine)
        if affine:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        # Groups of one channel of a sequence are not reshaped: nothing is to be gained.
        axes = draw.choice([1, 2, 2, 3]) if width > 1 else 2
        sizes = [draw.choice([1, 2, 5, 8]) for _ in range(axes)]
        x = torch.randn(draw.randint(2, 3), channels, *sizes) + draw.choice([0, 1, 30])
        x *= draw.choice([0.1, 1, 10])
        module = nn.Sequential(norm, nn.SiLU()).eval()
        model = export(module, x)
        assert fired(rewrite(model), "RewriteGroupNorm")
        assert "InstanceNormalization" not in operators(model)
        with torch.inference_mode():
            got, expected = run(model, x), module.double()(x.double()).float().numpy()
            plain = module.float()(x).numpy()
        # PyTorch itself is that far off where the mean is large; its luck varies.
        spread = max(float(np.ptp(expected)), 1e-3)
        worst = max(TOLERANCE * spread, 4 * float(np.abs(plain - expected).max()))
        assert float(np.abs(got - expected).max()) <= worst


def test_group_norm_is_one_pattern_among_others() -> None:
    class Conditional(nn.Module):
        """The scale of channels is computed: it stays behind the normalisation."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.GroupNorm(2, 4, affine=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x) * x.mean((2, 3), keepdim=True) + 1

    module, x = Conditional(), torch.randn(2, 4, 3, 5)
    model = export(module, x)
    assert fired(rewrite(model), "RewriteGroupNorm")
    with torch.inference_mode():
        assert_equal(run(model, x), module(x).numpy())
    plain = nn.InstanceNorm2d(4, affine=True)
    model = export(plain, x)
    decisions = rewrite(model)
    assert not fired(decisions, "RewriteGroupNorm")
    assert any("groups are channels" in d.reason for d in decisions)


def test_a_reshape_that_splits_samples_is_no_group_norm() -> None:
    class Video(nn.Module):
        """x (B, 8 frames, 4 channels, H, W), each frame and channel normalised alone."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.InstanceNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x.reshape(-1, *x.shape[2:])).reshape(x.shape)

    module, x = Video().eval(), torch.randn(2, 8, 4, 3, 5)
    model = export(module, x)
    assert not fired(rewrite(model), "RewriteGroupNorm")
    with torch.inference_mode():
        assert_equal(run(model, x), module(x).numpy())


def test_group_norm_of_an_older_file_stays() -> None:
    model = export(nn.GroupNorm(2, 4), torch.randn(2, 4, 3, 5))
    model.graph.opset_imports[""] = 17
    decisions = rewrite(model)
    assert not fired(decisions, "RewriteGroupNorm")
    assert any("older than opset 18" in d.reason for d in decisions)


@pytest.mark.parametrize(
    ("tail", "moves"),
    [
        (torch.tanh, True),
        (lambda x: x * 0.5, True),
        (lambda x: x * torch.arange(1.0, 5.0)[:, None, None], False),
    ],
)
def test_activations_move_in_front_of_the_reshape_behind_a_matrix_product(
    tail: Callable[[torch.Tensor], torch.Tensor], moves: bool
) -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 36)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return tail(self.linear(x).view(-1, 4, 3, 3))

    module, x = Head(), torch.randn(2, 6)
    model = export(module, x)
    decisions = rewrite(model)
    assert bool(fired(decisions, "MovePointwise")) is moves
    assert (operators(model)[-1] == "Reshape") is moves
    with torch.inference_mode():
        assert_equal(run(model, x), module(x).numpy())
