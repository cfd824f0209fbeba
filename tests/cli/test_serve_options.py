"""What `genx serve` refuses before it opens its port."""

from __future__ import annotations

import pytest
from tests.cli.conftest import DATA, Run


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--max-memory", "nan", "max-memory is nan MB, expected a number above 0"),
        ("--max-memory", "inf", "max-memory is inf MB"),
        ("--max-memory", "-1", "max-memory is -1 MB"),
        ("--max-memory", "0", "max-memory is 0 MB"),
        ("--max-memory", "1e-9", "max-memory is 0 bytes, expected 1 or more"),
        ("--max-queue-delay-ms", "nan", "max-queue-delay is nan ms, expected 0 to 10000"),
        ("--max-queue-delay-ms", "-1", "max-queue-delay is -1 ms"),
        ("--instances", "0", "instances is 0, expected 1 or more"),
        ("--threads", "0", "threads is 0, expected 1 or more"),
        ("--max-batch", "0", "max-batch is 0, expected 1 or more"),
        ("--port", "65536", "port is 65536, expected 0 to 65535"),
        ("--limit", "seconds=nan", "limit seconds is 'nan', expected a number above 0"),
        ("--limit", "n", "limit n is '', expected a whole number above 0"),
        ("--limit", "connections=0.5", "limit connections is '0.5'"),
        ("--backend", "onnx", "unknown backend 'onnx'"),
        ("--backend", "onnxruntime:gpu", "backend 'onnxruntime' has no device 'gpu'"),
        ("--precision", "int9", "the bundle has no precision 'int9'"),
        ("--allowed-host", "http://models.lan", "allowed-host is 'http://models.lan'"),
        ("--allowed-host", "models.lan:80", "expected a name or an address, without a port"),
        ("--host", "not.a.host.invalid", "cannot listen at not.a.host.invalid, port 0"),
        ("--host", "", "host is empty"),
    ],
)
def test_options(genx: Run, option: str, value: str, says: str) -> None:
    port = () if option == "--port" else ("--port", 0)
    done = genx("serve", DATA / "tiny.genx", *port, option, value)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert says in done.err
