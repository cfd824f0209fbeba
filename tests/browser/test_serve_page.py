"""The page of `genx serve` in headless Chromium, on a real server with bundles of every kind."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from tests.browser.conftest import DATA, Serve

pytestmark = pytest.mark.browser

TINY = ("tiny", "tiny_codes", "tiny_diffusion", "tiny_recurrent", "tiny_tokens", "tiny_vae")
DONE = "#results:not([aria-busy]) :is(#status:not(:empty), #error:not([hidden]))"
SIZES = {390: 844, 1440: 900}

# The controls of each bundle, seed and number left out.
CONTROLS = {
    "codes": ["set.code[0]", "set.code[1]", "set.gain", "set.label", "truncation"],
    "tiny": ["set.label", "truncation"],
    "tiny_codes": ["set.category", "set.style[0]", "set.style[1]"],
    "tiny_diffusion": ["set.label", "steps", "solver", "guidance", "stream"],
    "tiny_recurrent": ["truncation", "length"],
    "tiny_tokens": ["prompt", "length", "temperature", "top_k", "top_p", "stream"],
    "tiny_vae": ["truncation"],
    "invert": [],
    "audio": ["truncation"],
    "table": ["truncation"],
    "voxels": ["truncation"],
}


@pytest.fixture(scope="module")
def address(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of one server of all bundles, for tests that leave it as it was."""
    pytest.importorskip("onnx", reason="some bundles are made on the spot")
    from tests.browser.bundles import make_all

    made = make_all(tmp_path_factory.mktemp("bundles"))
    _, address = serve(*made, *(DATA / f"{name}.genx" for name in TINY))
    return address


class Visit:
    """An open page, and what it said and asked for on the way."""

    def __init__(self, browser: Any, url: str, width: int = 1440, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[Any] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(url)

    def _note(self, request: Any) -> None:
        self.asked.append(request)

    def __enter__(self) -> Visit:
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def wait(self) -> None:
        """Wait until what was asked for is shown."""
        self.page.wait_for_selector(DONE)

    def click(self, target: str) -> None:
        self.page.click(target)
        self.wait()

    def type(self, target: str, text: str) -> None:
        """Type into a box and leave it."""
        self.page.fill(target, text)
        self.page.dispatch_event(target, "change")
        self.wait()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.wait()

    def pictures(self) -> list[bytes]:
        """Return the PNG files on the page."""
        script = "all => all.map(one => one.src)"
        sources = self.page.eval_on_selector_all("#samples img", script)
        return [base64.b64decode(source.partition(",")[2]) for source in sources]

    def bodies(self, path: str = "/v1/sample") -> list[dict[str, Any]]:
        """Return what was posted."""
        posted = (r for r in self.asked if urlsplit(r.url).path == path)
        return [json.loads(r.post_data) for r in posted]


def post(address: str, path: str, body: object) -> bytes:
    """Return the server's own answer, past the page."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
    data = body if isinstance(body, bytes) else json.dumps(body)
    try:
        connection.request("POST", path, data)
        answer = connection.getresponse()
        found = answer.read()
        assert answer.status == 200, found
        return found
    finally:
        connection.close()


def draw(address: str, **body: object) -> list[bytes]:
    """Return the pictures that the server gives."""
    items = json.loads(post(address, "/v1/sample", {"format": "json", **body}))["samples"]
    return [base64.b64decode(item) for item in items]


def save(visit: Visit, form: str) -> tuple[str, bytes]:
    """Return the name and bytes of a download."""
    with visit.page.expect_download() as download:
        visit.page.click(f"#downloads [data-form={form}]")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", list(SIZES))
def test_every_bundle_fits_says_nothing_and_asks_nobody_else(
    chromium: Any, address: str, width: int, scheme: str, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("GENX_SCREENSHOTS", tmp_path))
    with Visit(chromium, f"{address}/", width, scheme) as visit:
        page = visit.page
        names = page.eval_on_selector_all("#model option", "all => all.map(one => one.value)")
        assert sorted(names) == sorted(CONTROLS)
        for name in names:
            page.select_option("#model", name)
            page.wait_for_selector(f"h1:text-is('{name}')")
            visit.wait()
            assert not page.is_visible("#error"), page.inner_text("#error")
            keys = page.eval_on_selector_all(
                "#controls [data-key]", "all => all.map(one => one.dataset.key)"
            )
            assert keys == CONTROLS[name]
            page.eval_on_selector("details", "one => one.open = true")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.eval_on_selector("details", "one => one.open = false")
            unnamed = page.evaluate("""[...document.querySelectorAll("input, select, textarea")]
                .filter(one => !one.labels.length && !one.ariaLabel).length""")
            assert unnamed == 0
            picture = folder / f"{name}-{width}-{scheme}.png"
            page.screenshot(path=picture)
            assert picture.stat().st_size > 5_000
        assert visit.said == []
        origins = {r.url.partition("/v1/")[0] for r in visit.asked if "/v1/" in r.url}
        assert origins == {address}
        assert all(r.url.startswith((address, "data:", "blob:")) for r in visit.asked)


def test_sliders_and_labels_change_the_pictures(chromium: Any, address: str) -> None:
    with Visit(chromium, f"{address}/#model=codes&n=6") as visit:
        page, first = visit.page, visit.pictures()
        assert first == draw(address, model="codes", n=6, seed=0)
        page.focus("[data-key='set.code[1]'] input[type=range]")
        visit.press(*["ArrowRight"] * 20)
        value = float(page.input_value("[data-key='set.code[1]'] input[type=number]"))
        assert value == pytest.approx(0.2)
        coded = draw(address, model="codes", n=6, seed=0, conditions={"code[1]": value})
        page.wait_for_selector(DONE)
        assert visit.pictures() == coded != first
        page.check("input[value=oak]", force=True)
        visit.wait()
        fixed = {"code[1]": value, "label": "oak"}
        labelled = draw(address, model="codes", n=6, seed=0, conditions=fixed)
        assert visit.pictures() == labelled != coded
        visit.type("[data-key='set.gain'] input[type=number]", "0.5")
        louder = draw(address, model="codes", n=6, seed=0, conditions={**fixed, "gain": 0.5})
        assert visit.pictures() == louder != labelled
        page.check("input[value=balanced]", force=True)
        visit.click("[data-key='set.gain'] .reset")
        visit.click("[data-key='set.code[1]'] .reset")
        balanced = draw(address, model="codes", n=6, seed=0, conditions={"label": "balanced"})
        assert visit.pictures() == balanced
        visit.type("[data-key=truncation] input[type=number]", "0.1")
        truncated = draw(
            address, model="codes", n=6, seed=0, conditions={"label": "balanced"}, truncation=0.1
        )
        assert visit.pictures() == truncated != balanced
        assert visit.said == []


def test_the_same_seed_gives_the_same_pictures(chromium: Any, address: str) -> None:
    most = str(2**64 - 1)
    with Visit(chromium, f"{address}/#model=tiny&n=4&seed=7") as visit:
        seventh = visit.pictures()
        visit.click("#random")
        assert visit.page.input_value("#seed") != "7"
        assert visit.pictures() != seventh
        visit.type("#seed", "7")
        assert visit.pictures() == seventh
        visit.type("#seed", most)
        assert visit.pictures() == draw(address, model="tiny", n=4, seed=int(most))
        visit.type("#seed", str(2**64))
        assert "2^64" in visit.page.inner_text("#error")


def test_a_link_makes_it_again(chromium: Any, address: str) -> None:
    with Visit(chromium, f"{address}/#model=codes") as visit:
        visit.page.check("input[value=yew]", force=True)
        visit.type("[data-key='set.code[0]'] input[type=number]", "-0.75")
        visit.type("#n", "5")
        visit.click("#random")
        url, made = visit.page.url, visit.pictures()
    assert "set.code[0]=-0.75" in unquote(url)
    with Visit(chromium, url) as visit:
        assert visit.pictures() == made
        assert len(made) == 5
        assert visit.page.is_checked("input[value=yew]")


def test_a_walk_between_two_picked_samples(chromium: Any, address: str) -> None:
    with Visit(chromium, f"{address}/#model=codes&n=12&set.label=ash") as visit:
        page, samples = visit.page, visit.pictures()
        page.focus("button.pick[data-index='0']")
        visit.press("ArrowRight", "Space", "ArrowDown", "Enter")
        pressed = page.eval_on_selector_all(
            ".pick[aria-pressed=true]", "all => all.map(one => Number(one.dataset.index))"
        )
        a, b = pressed
        assert (a, b) != (0, 1)
        visit.click("#go-between")
        frames = visit.pictures()
        assert (frames[0], frames[-1]) == (samples[a], samples[b])
        assert frames == draw(
            address, model="codes", n=12, seed=0, conditions={"label": "ash"}, interpolate=[a, b]
        )
        page.wait_for_selector("#place:focus")
        visit.press("End")
        shown = page.get_attribute("#stage img", "src")
        assert base64.b64decode(shown.partition(",")[2]) == frames[-1]
        url = page.url
        visit.click("#back")
        assert visit.pictures() == samples
    with Visit(chromium, url) as visit:
        assert visit.pictures() == frames


def test_text_comes_as_it_is_made(chromium: Any, address: str) -> None:
    with Visit(chromium, f"{address}/#model=tiny_tokens&n=2&seed=3") as visit:
        visit.type("textarea", "the a")
        visit.page.focus("textarea")
        visit.press("Control+Enter")
        texts = [one.text_content() for one in visit.page.query_selector_all("#samples .text")]
        body = {"model": "tiny_tokens", "n": 2, "seed": 3, "prompt": "the a", "format": "json"}
        assert texts == json.loads(post(address, "/v1/sample", body))["samples"]
        assert visit.page.inner_text("#samples mark >> nth=0") == "the a"
        assert all(body["stream"] for body in visit.bodies())
        name, text = save(visit, "txt")
        assert (name, text.decode()) == ("tiny_tokens-3.txt", "\n\n".join(texts))
        visit.page.fill("textarea", "é")
        visit.click("#generate")
        assert "'é' at character 1" in visit.page.inner_text("#error")
        visit.page.fill("textarea", "")
        visit.click("#generate")
        assert not visit.page.is_visible("#error")


def test_steps_of_a_diffusion_are_shown(chromium: Any, address: str) -> None:
    with Visit(chromium, f"{address}/#model=tiny_diffusion&n=3") as visit:
        streamed = visit.pictures()
        assert visit.bodies()[-1]["stream"]
        assert visit.page.inner_text("#status") == "3 samples of seed 0"
        visit.click("text=Show each step")
        assert "stream" not in visit.bodies()[-1]
        assert visit.pictures() == streamed == draw(address, model="tiny_diffusion", n=3, seed=0)
        visit.page.select_option("[data-key=solver] select", "euler")
        visit.wait()
        visit.type("[data-key=steps] input[type=number]", "3")
        expected = draw(address, model="tiny_diffusion", n=3, seed=0, solver="euler", steps=3)
        assert visit.pictures() == expected != streamed


def test_a_picture_is_translated(chromium: Any, address: str, tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (11, 19, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    with Visit(chromium, f"{address}/#model=invert") as visit:
        visit.page.set_input_files("#picture", tmp_path / "in.png")
        visit.page.wait_for_selector("#after:not([hidden])")
        visit.wait()
        assert visit.page.eval_on_selector("#after img", "one => one.naturalWidth") == 19
        name, made = save(visit, "png")
        assert name == "invert-0.png"
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(made))), 255 - pixels)
        (tmp_path / "no.png").write_bytes(b"no picture")
        visit.page.set_input_files("#picture", tmp_path / "no.png")
        visit.page.wait_for_selector("#error:not([hidden])")
        assert "picture" in visit.page.inner_text("#error")


def test_what_is_saved_is_what_is_shown(chromium: Any, address: str) -> None:
    body = {"model": "tiny", "n": 3, "seed": 5}
    with Visit(chromium, f"{address}/#model=tiny&n=3&seed=5") as visit:
        for form in ("png", "npy"):
            name, data = save(visit, form)
            assert name == f"tiny-5.{form}"
            assert data == post(address, "/v1/sample", {**body, "format": form})


def test_sound_can_be_played(chromium: Any, address: str) -> None:
    with Visit(chromium, f"{address}/#model=audio&n=2") as visit:
        player = visit.page.wait_for_selector("audio >> nth=1")
        assert player.get_attribute("src").startswith("blob:")
        script = """one => new Promise(done => {
            one.onloadedmetadata = () => done(one.duration);
            one.load();
        })"""
        assert player.evaluate(script) == pytest.approx(40 / 8000, abs=1e-3)
        name, data = save(visit, "wav")
        assert (name, data[:4]) == ("audio-0.wav", b"RIFF")
        assert visit.said == []


@pytest.fixture
def locked(serve: Serve, tmp_path: Path) -> tuple[subprocess.Popen[str], str]:
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-the-tests-0\n", encoding="utf-8")
    return serve(DATA / "tiny.genx", "--api-key-file", keys)


def test_a_key_is_asked_for_and_kept_in_the_tab(
    chromium: Any, locked: tuple[subprocess.Popen[str], str]
) -> None:
    process, address = locked
    visit = Visit(chromium, f"{address}/#n=3")
    page = visit.page
    page.wait_for_selector("#key-form:not([hidden])")
    page.wait_for_selector("#key:focus")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#error:not([hidden])")
    assert "key is missing or wrong" in page.inner_text("#error")
    page.fill("#key", "a-key-of-the-tests-0")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-form", state="hidden")
    visit.wait()
    assert len(visit.pictures()) == 3
    page.reload()
    visit.wait()
    assert len(visit.pictures()) == 3
    assert all("a-key-of" not in request.url for request in visit.asked)
    process.kill()
    process.wait()
    page.click("#random")
    page.wait_for_selector("#error:not([hidden])")
    assert "does not answer" in page.inner_text("#error")
    assert len(visit.pictures()) == 3
    visit.context.close()


def test_names_from_strangers_are_only_text(chromium: Any, serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from tests.make_tiny_bundle import make_bundle, make_graph

    from genx_runtimes.manifest import CategoricalPrior, OutputSpec

    evil = "<img src=x onerror=document.title='owned'>"
    graph = make_graph(
        "g (int64[batch] label) => (float[batch,3] x) { x = Gather(w, label) }", w=(2, 3)
    )
    priors = [CategoricalPrior(name="label", classes=2, labels=(evil, "b"))]
    output = OutputSpec(name="x", kind="table", columns=(evil, "b", "c"))
    make_bundle("strange", "generator", {"generator": graph}, priors, output, tmp_path)
    _, address = serve(tmp_path / "strange.genx")
    with Visit(chromium, f"{address}/") as visit:
        assert visit.page.inner_text("thead th >> nth=1") == evil
        assert visit.page.inner_text(".pills label >> nth=2") == evil
        assert visit.page.evaluate("[...document.images].some(one => one.src)") is False
        assert visit.page.title() == "strange · genx"
        assert visit.said == []
