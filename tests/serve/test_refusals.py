"""What is wrong is answered with a 4xx and one clear message, whoever sends it."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.serve.conftest import TINY, Server, start_server

INFER = "/v2/models/tiny/infer"
RAW = "/v2/models/tiny.generator/infer"


def tensor(name: str, shape: list[Any], datatype: str, **rest: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, **rest}


def nested(depth: int) -> dict[str, Any]:
    """A number in so many lists."""
    data: Any = 1
    for _ in range(depth):
        data = [data]
    return tensor("n", [1], "INT64", data=data)


def check(answer: Any, status: int, says: str) -> None:
    """One line that names what is wrong, in the shape of the path's own clients."""
    assert answer.status == status, answer.body
    text = answer.json()["error"]
    text = text["message"] if isinstance(text, dict) else text
    assert says in text
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 600


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/sample", b"", "the body is not what is expected"),
        ("/v1/sample", b"{", "the body is not what is expected"),
        ("/v1/sample", b"\xff\xfe", "the body is not what is expected"),
        ("/v1/sample", b"[" * 100_000, "the body is not what is expected"),
        ("/v1/sample", b'{"model": "tiny", "n": NaN}', "the body is not what is expected"),
        ("/v1/sample", b'{"model": "tiny", "truncation": NaN}', "not what is expected"),
        ("/v1/sample", b'{"model": "tiny", "truncation": 1e999}', "not what is expected"),
        ("/v1/sample", b'{"model": "tiny", "n": 1e3}', ""),
        ("/v1/sample", b'{"model": "tiny", "n": -1}', "n is -1, expected 1 or more"),
        ("/v1/sample", b'{"model": "tiny", "n": 1' + b"0" * 50 + b"}", ""),
        ("/v1/sample", b'{"model": "tiny", "seed": 18446744073709551616}', "expected 0 to 2^64"),
        ("/v1/sample", b'{"model": "tiny", "seed": -1}', "seed is -1"),
        ("/v1/sample", b'{"model": "tiny", "start": 18446744073709551615, "n": 2}', "start is"),
        ("/v1/sample", b'{"model": "tiny", "colour": 1}', "colour"),
        ("/v1/sample", b'{"model": "tiny", "format": "gif"}', "png, npy, json"),
        ("/v1/sample", b'{"model": "tiny", "truncation": -1}', "truncation"),
        ("/v1/sample", b'{"model": "tiny", "steps": 3}', "has no meaning for this bundle"),
        ("/v1/sample", b'{"model": "tiny", "interpolate": [0, 1]}', "expected 2 or more"),
        (
            "/v1/sample",
            b'{"model": "tiny", "interpolate": [0, 1], "n": 2, "start": 1}',
            "interpolate names its samples itself, it takes no start",
        ),
        ("/v1/sample", b'{"model": "tiny", "format": "png", "stream": true}', "takes no format"),
        ("/v2/repository/index", b'{"redy": true}', "redy"),
        ("/v2/repository/index", b'{"ready": 1}', "the body is not what is expected"),
        ("/v1/sample", b'{"model": "tiny", "n": 17, "stream": true}', "16 at most"),
        ("/v1/sample", b'{"model": "tiny", "conditions": {"label": 4}}', "no class '4'"),
        ("/v1/sample", b'{"model": "tiny", "conditions": {"label": 1.5}}', "expected a class"),
        ("/v1/sample", b'{"model": "tiny", "conditions": {"lable": 1}}', "did you mean 'label'"),
        ("/v1/sample", b'{"model": "tiny", "conditions": {"z[,]": 1}}', "names no entry"),
        ("/v1/sample", b'{"model": "tiny", "conditions": {"z[9]": 1}}', "there is no entry"),
        ("/v1/sample", b'{"model": "tiny", "conditions": {"z": [1]}}', "expected (8,)"),
        ("/v1/sample", b'{"model": "tiny", "conditions": {"z[0]": 1e300}}', "finite numbers"),
        (
            "/v1/sample",
            b'{"model": "tiny", "conditions": {"z[0]": 1' + b"0" * 400 + b"}}",
            "",
        ),
        (
            "/v1/sample",
            b'{"model": "tiny", "conditions": {"label": "' + b"1" * 5000 + b'"}}',
            "",
        ),
        (
            "/v1/sample",
            b'{"model": "tiny", "conditions": {"z[' + b"1" * 5000 + b']": 1}}',
            "",
        ),
        (
            "/v1/sample",
            b'{"model": "tiny_diffusion", "conditions": {"x": [' + b"3e38, " * 15 + b"-3e38]}}",
            "drive the model to NaN or infinity",
        ),
        ("/v1/sample", b'{"model": "../../etc/passwd"}', "unknown model '../../etc/passwd'"),
        ("/v1/translate?model=tiny", b"no picture", "does not translate pictures"),
        ("/v1/translate?model=tiny&seed=-1", b"", "expected 0 to 2^64"),
        ("/v1/translate?model=tiny&seed=" + "9" * 5000, b"", "expected 0 to 2^64"),
    ],
)
def test_json_requests(server: Server, path: str, body: bytes, says: str) -> None:
    answer = server.ask("POST", path, body)
    if len(body) < 4000:
        check(answer, 404 if b"passwd" in body else 400, says)
    else:  # the message holds what was sent
        assert answer.status == 400


@pytest.mark.parametrize(
    ("path", "inputs", "says"),
    [
        (INFER, [tensor("n", [-1], "INT64", data=[1])], "has a shape that no input has"),
        (INFER, [tensor("n", [0, 2**62], "INT64", data=[])], "has a shape that no input has"),
        (INFER, [tensor("n", [1] * 99, "INT64", data=[1])], "has a shape that no input has"),
        (INFER, [tensor("n", [1], "INT64", data=[0])], "n is 0, expected 1 or more"),
        (INFER, [tensor("z", [1, 0], "FP32", data=[])], "expected one value, or 1"),
        (INFER, [tensor("z", [1, 1], "BYTES", data=["a"])], "is BYTES, expected numbers"),
        (
            INFER,
            [tensor("label", [2], "BYTES", data=["a" * 3_000_000, ""])],
            "too many texts, or too long ones",
        ),
        (INFER, [tensor("n", [2], "INT64", data=[1])], "has 1 values, its shape [2] asks for 2"),
        (INFER, [tensor("n", [1], "INT8", data=[300])], "holds what is no INT8"),
        (INFER, [tensor("n", [1], "INT64", data=[2**70])], "holds what is no INT64"),
        (INFER, [tensor("n", [1], "INT64", data=["1"])], "holds what is no INT64"),
        (INFER, [tensor("n", [1], "INT64", data=[True])], "holds what is no INT64"),
        (INFER, [tensor("n", [1], "INT64")], "has no data"),
        (INFER, [tensor("n", [1], "INTEGER", data=[1])], "unknown datatype 'INTEGER'"),
        (INFER, [tensor("n", [1], "INT64", data=[1])] * 2, "is given twice"),
        (INFER, [tensor("n", [1], "BYTES", data=["1"])], "expected one integer"),
        (INFER, [tensor("n", [1], "BYTES", data=[1])], "BYTES in JSON are texts"),
        (INFER, [tensor("label", [3], "INT64", data=[0, 0, 0])], "expected one value, or 1"),
        (INFER, [tensor("label", [0], "INT64", data=[])], "expected one value, or 1"),
        (INFER, [tensor("seed", [1], "INT64", data=[-1])], "seed is -1"),
        (INFER, [tensor("n", [1], "INT64", data=[1], extra=1)], "extra"),
        (INFER, [nested(17)], "input 'n' is nested deeper than 16"),
        (INFER, [nested(500)], "input 'n' is nested deeper than 16"),
        (
            INFER,
            [tensor("n", [1], "INT64", parameters={"binary_data_size": nested(500)["data"]})],
            "the body is no inference request",
        ),
        (
            INFER,
            [tensor("n", [1], "INT64", data=[1], parameters={"shared_memory_region": "r"})],
            "input 'n' has no parameter 'shared_memory_region'",
        ),
        (RAW, [tensor("z", [1, 8], "FP32", data=[1e39] * 8)], "holds what is no FP32"),
        (RAW, [tensor("z", [1, 8], "FP16", data=[1.0] * 8)], "FP16 is sent as bytes"),
        (RAW, [tensor("z", [1, 8], "FP64", data=[1.0] * 8)], "has dtype float64"),
        (RAW, [], "needs the input 'z'"),
        (
            RAW,
            [
                tensor("z", [1, 8], "FP64", data=[1.0] * 8),
                tensor("label", [1], "INT64", data=[0]),
            ],
            "has dtype float64, expected float32",
        ),
        (
            RAW,
            [
                tensor("z", [1, 8], "BYTES", data=["x"] * 8),
                tensor("label", [1], "INT64", data=[0]),
            ],
            "is BYTES, expected float32",
        ),
        (
            RAW,
            [
                tensor("z", [1, 8], "FP32", data=[0.0] * 8),
                tensor("label", [1], "INT64", data=[99]),
            ],
            "'generator' does not run on these inputs",
        ),
    ],
)
def test_json_tensors(server: Server, path: str, inputs: list[Any], says: str) -> None:
    check(server.ask("POST", path, {"inputs": inputs}), 400, says)


@pytest.mark.parametrize(
    ("size", "raw", "header", "says"),
    [
        (8, struct.pack("<q", 1), "0", "no inference request"),
        (8, struct.pack("<q", 1), "99999", "the body has"),
        (8, struct.pack("<q", 1), "9" * 5000, "the body has"),
        (8, struct.pack("<q", 1), "-1", "the body has"),
        (8, struct.pack("<q", 1), "x", "the body has"),
        (8, b"1234", None, "4 bytes are left, not 8"),
        (4, b"1234", None, "INT64 of shape [1] has 8"),
        (8, b"123456789", None, "1 bytes behind the last tensor belong to none"),
        (-1, b"", None, "0 bytes are left, not -1"),
        (2**80, b"", None, "0 bytes are left"),
        ("8", b"12345678", None, "8 bytes are left, not '8'"),
    ],
)
def test_binary_tensors(
    server: Server, size: Any, raw: bytes, header: str | None, says: str
) -> None:
    asked = tensor("n", [1], "INT64", parameters={"binary_data_size": size})
    text = json.dumps({"inputs": [asked]}).encode()
    answer = server.ask(
        "POST", INFER, text + raw, Inference_Header_Content_Length=header or str(len(text))
    )
    check(answer, 400, says)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\x01\x00", "ends in the middle of a length"),
        (b"\xff\xff\xff\xffx", "ends in the middle of an element"),
        (b"\x01\x00\x00\x00\xff", "is not UTF-8"),
        (b"\x01\x00\x00\x00x\x00\x00\x00\x00", "has 2 values"),
    ],
)
def test_binary_texts(server: Server, raw: bytes, says: str) -> None:
    asked = tensor("n", [1], "BYTES", parameters={"binary_data_size": len(raw)})
    text = json.dumps({"inputs": [asked]}).encode()
    answer = server.ask("POST", INFER, text + raw, Inference_Header_Content_Length=str(len(text)))
    check(answer, 400, says)


def test_infinity_does_not_pass_as_json(server: Server) -> None:
    z = struct.pack("<8f", *[float("nan")] * 8)
    asked = [
        tensor("z", [1, 8], "FP32", parameters={"binary_data_size": 32}),
        tensor("label", [1], "INT64", data=[0]),
    ]
    text = json.dumps({"inputs": asked}).encode()
    answer = server.ask("POST", RAW, text + z, Inference_Header_Content_Length=str(len(text)))
    check(answer, 400, "NaN or infinity, which JSON does not hold; ask for binary_data")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1",
        "/v1/sample/",
        "/v2/models/tony",
        "/v2/models/tiny/versions/2",
        "/v2/models/tiny.",
        "/v2/models/.generator",
        "/v2/models/..",
        "/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v2/models/../../../../etc/passwd",
        "/v2/models/tiny%00",
        "/v1/models/%2e%2e",
        "/v1/contracts/..%2fsettings.py",
        "/page/../settings.py",
        "//etc/passwd",
    ],
)
def test_paths_that_lead_nowhere(server: Server, path: str) -> None:
    answer = server.ask("GET", path)
    check(answer, 404, "")


def test_wrong_methods(server: Server) -> None:
    answer = server.ask("GET", "/v1/sample")
    check(answer, 405, "/v1/sample does not take GET")
    assert "POST" in answer.headers["allow"]


def test_pages_of_other_sites(server: Server) -> None:
    body = {"model": "tiny"}
    check(server.ask("POST", "/v1/sample", body, Origin="http://evil.example"), 403, "another site")
    check(server.ask("POST", "/v1/sample", body, Origin="null"), 403, "another site")
    own = server.ask("POST", "/v1/sample", body, Origin=server.address)
    assert own.status == 200
    assert not any(name.startswith("access-control") for name in own.headers)


def test_headers_of_every_answer(server: Server) -> None:
    answer = server.ask("GET", "/v2", X_Request_Id="mine-1")
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    for bad in ("a b", "x" * 65, '"}{'):
        given = server.ask("GET", "/v2", X_Request_Id=bad).headers["x-request-id"]
        assert len(given) == 16
    page = server.ask("GET", "/")
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server with small limits."""
    limits = (
        "body_bytes=2000",
        "n=4",
        "steps=5",
        "length=7",
        "values=200",
        "queue=3",
        "in_progress=2",
        "seconds=3",
        "head_bytes=3000",
        "connections=20",
    )
    options = [option for limit in limits for option in ("--limit", limit)]
    from tests.serve.conftest import DIFFUSION, TOKENS

    server = start_server(TINY, TOKENS, DIFFUSION, *options)
    yield server
    server.process.kill()
    server.process.wait()


def test_a_body_that_says_it_is_too_large(small: Server) -> None:
    answer = small.ask("POST", "/v1/sample", b" " * 2001)
    check(answer, 413, "2001 bytes, this server takes 2000")
    assert small.ask("POST", "/v1/sample", b'{"model": "tiny"}' + b" " * 1900).status == 200


@pytest.mark.parametrize("path", ["/v1/sample", INFER, "/v1/completions"])
def test_a_body_that_does_not_say_how_large_it_is(small: Server, path: str) -> None:
    connection = http.client.HTTPConnection(small.netloc, timeout=30)
    chunks = (b" " * 500 for _ in range(100))
    headers = {"Transfer-Encoding": "chunked"}
    with suppress(BrokenPipeError, ConnectionResetError):  # it does not hear us out
        connection.request("POST", path, chunks, headers, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert "larger than 2000 bytes" in answer.read().decode()
    connection.close()
    assert small.ask("GET", "/v2").status == 200


@pytest.mark.parametrize("length", ["x", "-1", "1" * 30, "0x10"])
def test_a_length_that_is_none(small: Server, length: str) -> None:
    host, port = small.netloc.split(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        head = f"POST /v1/sample HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        status = int(connection.recv(65536).split()[1])
    assert status in (400, 413)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"model": "tiny", "n": 5}, "n is 5, this server allows 4"),
        ({"model": "tiny_diffusion", "steps": 6}, "steps is 6, this server allows 5"),
        ({"model": "tiny_tokens", "length": 8}, "length is 8, this server allows 7"),
        ({"model": "tiny_tokens", "prompt": "aaaaaaaa"}, "prompt's length is 8"),
        ({"model": "tiny", "n": 4}, "these samples hold 256 values, this server allows 200"),
        ({"model": "tiny_diffusion", "n": 4}, "n is 4, this server's queue takes 3"),
    ],
)
def test_more_than_a_request_may_ask_for(small: Server, body: Any, says: str) -> None:
    check(small.ask("POST", "/v1/sample", body), 400, says)
    check(small.ask("POST", "/v1/sample", {**body, "stream": True}), 400, says)


def test_too_many_requests_at_once(small: Server) -> None:
    host, port = small.netloc.split(":")
    head = b"POST /v1/sample HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    held = [socket.create_connection((host, int(port)), 30) for _ in range(2)]
    try:
        for connection in held:
            connection.sendall(head)
        small.wait_until(lambda: small.ask("GET", "/metrics").status == 429)
        answer = small.ask("POST", "/v1/sample", {"model": "tiny"})
        check(answer, 429, "2 requests are in progress")
        assert answer.headers["retry-after"] == "1"
        assert small.ask("GET", "/v2/health/live").status == 200
    finally:
        for connection in held:
            connection.close()
    small.wait_until(lambda: small.ask("GET", "/v2").status == 200)
    small.wait_until(lambda: sum(r.get("status") == 499 for r in small.records()) == 2)
    assert not any("traceback" in record for record in small.records())


def test_a_head_that_is_too_large(small: Server) -> None:
    check(small.ask("GET", "/v2", X_Long="a" * 3000), 431, "the head has more than 3000 bytes")
    check(small.ask("GET", "/v1/models/" + "a" * 3000), 431, "the head has more than 3000 bytes")


def test_more_connections_than_there_may_be(small: Server) -> None:
    host, port = small.netloc.split(":")
    held: list[socket.socket] = []
    try:
        answer = b""
        while not answer and len(held) <= 20:
            held.append(socket.create_connection((host, int(port)), 30))
            held[-1].sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n")  # and no more
            held[-1].settimeout(0.05 if len(held) <= 20 else 30)
            with suppress(TimeoutError):
                answer = held[-1].recv(65536)
        assert answer.split()[1] == b"503"
        assert b"20 connections are open" in answer
    finally:
        for connection in held:
            connection.close()

    def answers() -> bool:
        with suppress(ConnectionError, http.client.HTTPException):
            return small.ask("GET", "/v2").status == 200
        return False

    small.wait_until(answers)


def test_a_name_that_is_not_this_server(server: Server) -> None:
    answer = server.ask("GET", "/", Host="evil.example")
    check(answer, 421, "this server is not called 'evil.example'")
    assert server.ask("GET", "/", Host="localhost").status == 200
