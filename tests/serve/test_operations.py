"""What whoever runs the server relies on: metrics, logs, readiness, ends, reloads, memory."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from tests.serve.conftest import DATA, DIFFUSION, TINY, TOKENS, Server, Start

from genx_runtimes import open_bundle

SAMPLE = "/v1/sample"


def test_metrics_after_known_requests(serve: Start) -> None:
    server = serve(TINY, DIFFUSION)
    for n in (1, 3, 20):
        body = {"model": "tiny", "n": n, "seed": 1}
        assert server.ask("POST", SAMPLE, body).status == 200
    assert server.ask("POST", SAMPLE, {"model": "tiny", "n": 0}).status == 400
    stream = {"model": "tiny_diffusion", "n": 2, "stream": True}
    assert server.ask("POST", SAMPLE, stream).status == 200
    server.ask("GET", "/some/path/of/mine")
    server.ask("GET", "/v2/models/tiny")

    def value(name: str, labels: str = "") -> float:
        return server.metric(f"{name}{{{labels}}}" if labels else name)

    assert value("genx_requests_total", 'code="200",path="/v1/sample"') == 4
    assert value("genx_requests_total", 'code="400",path="/v1/sample"') == 1
    assert value("genx_requests_total", 'code="404",path="other"') == 1
    assert value("genx_requests_total", 'code="200",path="/v2/models/{model}"') == 1
    assert value("genx_request_duration_seconds_count", 'path="/v1/sample"') == 5
    assert 0 < value("genx_request_duration_seconds_sum", 'path="/v1/sample"') < 60
    assert value("genx_samples_total", 'model="tiny"') == 24
    assert value("genx_samples_total", 'model="tiny_diffusion"') == 2
    assert value("genx_batch_size_count", 'model="tiny"') == 4
    assert value("genx_batch_size_sum", 'model="tiny"') == 24
    assert value("genx_batch_size_bucket", 'le="1.0",model="tiny"') == 1
    assert value("genx_queue_duration_seconds_count", 'model="tiny"') == 3
    assert value("genx_compute_duration_seconds_count", 'model="tiny"') == 4
    assert 0 < value("genx_compute_duration_seconds_sum", 'model="tiny"') < 60
    assert value("genx_queue_samples", 'model="tiny"') == 0
    assert value("genx_requests_in_progress") == 1  # the one that asks
    assert value("genx_model_loaded", 'model="tiny"') == 1
    assert value("genx_model_memory_bytes", 'model="tiny"') > 1000
    assert value("process_resident_memory_bytes") > 10e6


def test_a_log_line_for_each_request(serve: Start) -> None:
    server = serve(TINY)
    assert server.ask("POST", SAMPLE, {"n": 1}, X_Request_Id="mine-7").status == 200
    server.ask("GET", "/v2/models/secret-name")
    server.wait_until(lambda: len(server.records()) >= 3)
    found = {record.get("request_id"): record for record in server.records()}
    record = found["mine-7"]
    assert record["message"] == "request"
    assert (record["method"], record["path"], record["status"]) == ("POST", SAMPLE, 200)
    assert record["level"] == "info"
    assert 0 < record["ms"] < 60_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", record["time"])
    assert "secret-name" not in "".join(server.log)
    loaded = [r for r in server.records() if r["message"] == "model loaded"]
    assert [r["model"] for r in loaded] == ["tiny"]


def test_a_stream_whose_client_went_away_is_no_success(server: Server) -> None:
    host, port = server.netloc.split(":")
    asked = {"model": "tiny_diffusion", "n": 16, "steps": 100, "stream": True}
    body = json.dumps(asked).encode()
    head = f"POST {SAMPLE} HTTP/1.1\r\nHost: {server.netloc}\r\nX-Request-Id: gone-1\r\n"
    data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def leave() -> bool:
        with socket.create_connection((host, int(port)), 30) as connection:
            connection.sendall(data)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        found = [r["status"] for r in server.records() if r.get("request_id") == "gone-1"]
        return 499 in found  # the stream may have ended before

    server.wait_until(leave)


def damage_golden(path: Path) -> None:
    """Change what the samples should be, and the hash that the manifest has of it."""
    import hashlib

    file = path / "golden.npz"
    with np.load(file) as arrays:
        golden = dict(arrays)
    golden["generator/out/image"] = golden["generator/out/image"] + 0.1
    np.savez(file, **golden)
    manifest = json.loads((path / "manifest.json").read_text())
    data = file.read_bytes()
    manifest["golden"]["file"] |= {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_what_draws_other_samples_is_never_ready(serve: Start, tiny_copy: Path) -> None:
    damage_golden(tiny_copy)
    server = serve(tiny_copy, TOKENS, ready=False)
    server.wait_until(lambda: server.metric('genx_model_loaded{model="tiny_tokens"}') == 1)
    assert server.ask("GET", "/v2/health/live").status == 200
    assert server.ask("GET", "/v2/health/ready").status == 503
    answer = server.ask("GET", "/v2/models/tiny/ready")
    assert answer.status == 503
    assert "is off by 5.00e-02 of its range, allowed 1e-05" in answer.json()["error"]
    for _ in range(3):
        assert server.ask("POST", SAMPLE, {"model": "tiny"}).status == 503
    errors = [r for r in server.records() if r["level"] == "error"]
    assert len(errors) == 1  # it is not loaded again for each request
    assert errors[0]["model"] == "tiny"
    assert server.ask("POST", SAMPLE, {"model": "tiny_tokens"}).status == 200
    shutil.rmtree(tiny_copy)
    shutil.copytree(TINY, tiny_copy)
    server.wait_ready()  # mended on the disk
    assert server.ask("POST", SAMPLE, {"model": "tiny"}).status == 200


def test_a_bundle_that_is_none_ends_at_once(serve: Start, tmp_path: Path) -> None:
    from tests.cli.conftest import finish, start

    done = finish(start(tmp_path, "serve", "nothing.genx"))
    assert done.code == 1
    assert done.err.startswith("error: ")
    done = finish(start(tmp_path, "serve", TINY, TINY))
    assert done.code == 2
    assert "are both called 'tiny'" in done.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = finish(start(tmp_path, "serve", TINY, "--port", port))
    assert done.code == 2
    assert done.err == (
        f"error: cannot listen at 127.0.0.1, port {port}: Address already in use; "
        f"choose others with --host and --port; port 0 takes a free one\n"
    )
    done = finish(start(tmp_path, "serve", TINY, "--limit", "m=3"))
    assert (done.code, done.err) == (
        2,
        "error: there is no limit 'm'; there is: body_bytes, head_bytes, read_seconds, "
        "connections, n, steps, length, values, pixels, in_progress, queue, seconds\n",
    )
    done = finish(start(tmp_path, "serve", TINY, "--limit", "n=-3"))
    assert "limit n is '-3', expected a whole number above 0" in done.err


class Load:
    """Clients that ask until the server is gone, each on a connection that it keeps."""

    def __init__(self, server: Server, clients: int = 8) -> None:
        self.server = server
        self.statuses: list[int] = []
        self.truncated: list[Exception] = []
        self.wrong = 0
        self.expected = server.ask("POST", SAMPLE, self._body(0)).body
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._work = [self._pool.submit(self._run) for _ in range(clients)]

    @staticmethod
    def _body(seed: int) -> bytes:
        return json.dumps({"model": "tiny", "seed": seed, "format": "npy"}).encode()

    def _run(self) -> None:
        with closing(http.client.HTTPConnection(self.server.netloc, timeout=30)) as connection:
            self._ask(connection)

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        while not self._ended.is_set():
            try:
                connection.request("POST", SAMPLE, self._body(0))
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException):
                connection.close()
                if self.server.process.poll() is not None:
                    return
                with suppress(OSError):
                    connection.connect()
                    continue
                return  # nobody listens
            try:
                body = answer.read()
            except (OSError, http.client.HTTPException) as err:
                self.truncated.append(err)
                return
            self.statuses.append(answer.status)
            self.wrong += body != self.expected and answer.status == 200

    def wait_for(self, count: int) -> None:
        self.server.wait_until(lambda: len(self.statuses) >= count)

    def finish(self) -> None:
        self._ended.set()
        for one in self._work:
            one.result(60)
        self._pool.shutdown()


def test_sigterm_under_load_loses_no_accepted_request(serve: Start) -> None:
    server = serve(TINY)
    load = Load(server)
    load.wait_for(50)
    began = time.monotonic()
    assert server.end(signal.SIGTERM) == 143
    assert time.monotonic() - began < 30
    load.finish()
    assert set(load.statuses) == {200}
    assert load.truncated == []
    done = [r["status"] for r in server.records() if r.get("path") == SAMPLE]
    assert set(done) == {200}
    assert len(done) == len(load.statuses) + 1  # each that was accepted has reached its client
    assert not any(r["level"] in ("warning", "error") for r in server.records())


def test_sigterm_waits_for_a_stream(serve: Start) -> None:
    server = serve(TOKENS, "--max-queue-delay-ms", 0)
    connection = http.client.HTTPConnection(server.netloc, timeout=30)
    connection.request("POST", SAMPLE, json.dumps({"stream": True, "seed": 1}).encode())
    answer = connection.getresponse()
    server.process.send_signal(signal.SIGTERM)
    events = answer.read().decode()
    assert events.rstrip().splitlines()[-2] == "event: done"
    assert server.process.wait(30) == 143
    connection.close()


def test_not_ready_while_it_drains(serve: Start) -> None:
    server = serve(TINY)
    connection = http.client.HTTPConnection(server.netloc, timeout=30)
    connection.connect()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    connection.request("GET", "/v2/health/ready")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert server.process.wait(30) == 143
    connection.close()


def test_ctrl_c(serve: Start) -> None:
    server = serve(TINY)
    assert server.end(signal.SIGINT) == 130
    assert [r for r in server.records() if r["level"] != "info"] == []
    lines = list(server.lines.queue)
    assert lines[-1] == "stopped; what was accepted has been answered\n"


def test_kill_and_start_again(serve: Start) -> None:
    server = serve(TINY)
    before = server.ask("POST", SAMPLE, {"seed": 4}).body
    load = Load(server)
    load.wait_for(20)
    server.end(signal.SIGKILL)
    load.finish()
    host, port = server.netloc.split(":")
    again = serve(TINY)
    assert again.ask("POST", SAMPLE, {"seed": 4}).body == before
    socket.create_server((host, int(port))).close()  # the port can be had again at once


def test_a_changed_bundle_is_reloaded_under_load(serve: Start, tiny_copy: Path) -> None:
    server = serve(tiny_copy)
    load = Load(server)
    load.wait_for(20)
    for round_ in range(2):
        manifest = json.loads((tiny_copy / "manifest.json").read_text())
        manifest["description"] = f"Another one, {round_}"
        new = tiny_copy / "manifest.new"
        new.write_text(json.dumps(manifest))
        new.replace(tiny_copy / "manifest.json")
        server.wait_until(
            lambda: (
                server.ask("GET", "/v1/contracts/tiny").json()["description"]
                == f"Another one, {round_}"  # noqa: B023 - called in this round
            )
        )
    load.wait_for(len(load.statuses) + 20)
    load.finish()
    assert set(load.statuses) == {200}
    assert (load.wrong, load.truncated) == (0, [])
    # Requests by name, too: the old model ends only after those that use it.
    assert server.metric('genx_model_loaded{model="tiny"}') == 1


def test_a_broken_change_leaves_the_old_model(serve: Start, tiny_copy: Path) -> None:
    server = serve(tiny_copy)
    before = server.ask("POST", SAMPLE, {"seed": 4}).body
    digest = open_bundle(tiny_copy).digest
    damage_golden(tiny_copy)
    server.wait_until(lambda: any(r["level"] == "error" for r in server.records()))
    time.sleep(2.5)  # another look at the disk
    assert sum(r["level"] == "error" for r in server.records()) == 1
    assert server.ask("GET", "/v2/health/ready").status == 200
    assert server.ask("POST", SAMPLE, {"seed": 4}).body == before
    assert server.ask("GET", "/v1/contracts/tiny").json()["digest"] == digest
    (tiny_copy / "manifest.json").write_text("{")
    server.wait_until(lambda: any(r["level"] == "warning" for r in server.records()))
    assert server.ask("POST", SAMPLE, {"seed": 4}).body == before


def test_unloading_under_load(serve: Start) -> None:
    server = serve(TINY)
    load = Load(server)
    load.wait_for(20)
    for _ in range(3):
        assert server.ask("POST", "/v2/repository/models/tiny/unload").status == 200
        assert server.ask("POST", "/v2/repository/models/tiny/load").status == 200
        load.wait_for(len(load.statuses) + 20)
    load.finish()
    assert set(load.statuses) <= {200, 503}
    assert load.wrong == 0
    assert load.truncated == []


def test_a_memory_budget_unloads_what_was_not_used_for_longest(serve: Start) -> None:
    codes = DATA / "tiny_codes.genx"
    server = serve(TINY, TOKENS, codes, "--max-memory", 1e-3, ready=False)

    def loaded() -> set[str]:
        names = ("tiny", "tiny_tokens", "tiny_codes")
        return {n for n in names if server.metric(f'genx_model_loaded{{model="{n}"}}') == 1}

    server.wait_ready()
    assert loaded() == {"tiny_codes"}
    first = server.ask("POST", SAMPLE, {"model": "tiny", "seed": 2})
    assert first.status == 200
    assert loaded() == {"tiny"}
    assert server.ask("POST", SAMPLE, {"model": "tiny_tokens", "seed": 2}).status == 200
    assert loaded() == {"tiny_tokens"}
    assert server.ask("GET", "/v2/health/ready").status == 200
    assert server.ask("POST", SAMPLE, {"model": "tiny", "seed": 2}).body == first.body


def test_two_models_within_the_budget_stay(serve: Start) -> None:
    server = serve(TINY, TOKENS, "--max-memory", 1000)
    assert server.metric('genx_model_loaded{model="tiny"}') == 1
    assert server.metric('genx_model_loaded{model="tiny_tokens"}') == 1


def test_several_instances(serve: Start) -> None:
    server = serve(TINY, "--instances", 2)
    bodies = [{"model": "tiny", "seed": s, "n": 5, "format": "json"} for s in range(20)]
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda body: server.ask("POST", SAMPLE, body), bodies))
    assert {answer.status for answer in found} == {200}
    for body, answer in zip(bodies, found, strict=True):
        assert answer.json() == server.ask("POST", SAMPLE, body).json()


def test_a_deadline(serve: Start) -> None:
    server = serve(TINY, TOKENS, "--limit", "seconds=1e-9")
    for body in (
        {"model": "tiny"},
        {"model": "tiny", "stream": True},  # told by its status: nothing has been sent
        {"model": "tiny_tokens", "stream": True},
    ):
        answer = server.ask("POST", SAMPLE, body)
        assert answer.status == 504
        assert "the work was dropped" in answer.json()["error"]
    text = {"model": "tiny_tokens", "prompt": "a", "stream": True}
    assert server.ask("POST", "/v1/completions", text).status == 504


def test_an_address_that_others_reach_is_warned_of(serve: Start) -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("no network here")
    server = serve(TINY, "--host", "0.0.0.0", ready=False)
    server.address = server.address.replace("0.0.0.0", "127.0.0.1")
    told = "others reach http://0.0.0.0:"
    server.wait_until(lambda: any(told in line for line in server.log))
    (line,) = (line for line in server.log if told in line)
    assert "no key is asked for: whoever does can draw samples, and load and unload" in line
    assert server.ask("GET", "/v2", Host="any.example").status == 200
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(30) == 143
