"""A process that makes shards, one after another, with one session.

python -m genx_runtimes.generate.worker: a line of JSON is the plan, each one after it the index of
a shard, and each is answered by a line with its `Outcome`. It ends when its stdin does.
"""

from __future__ import annotations

import os
import queue
import sys
import threading

import msgspec

from genx_runtimes.generate.plan import Plan
from genx_runtimes.generate.shard import ShardMaker


def main() -> None:
    """Answer stdin until it ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what an engine prints must not mix with the answers
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    maker = ShardMaker(plan)
    while True:
        out.write(msgspec.json.encode(maker.attempt(asked.get())) + b"\n")
        out.flush()


def _listen(asked: queue.SimpleQueue[int]) -> None:
    """Pass on what is asked; when who asks has gone, end at once, in the middle of a shard too."""
    for line in sys.stdin.buffer:
        asked.put(int(line))
    os._exit(0)


if __name__ == "__main__":
    main()
