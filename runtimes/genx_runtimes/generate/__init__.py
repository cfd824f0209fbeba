"""Bulk generation: a data set in shards, each of which comes out the same wherever it is made.

    from genx_runtimes import open_bundle
    from genx_runtimes.generate import generate, make_plan

    plan = make_plan(open_bundle("dcgan.genx"), "digits", n=1000, seed=0, format="webdataset")
    print(generate(plan).shards)

Source: docs/generate.md, which this package follows.
"""

from genx_runtimes.generate.plan import DEFAULT_SHARD_SIZE, ImageSettings, Plan, make_plan
from genx_runtimes.generate.record import Dataset, Failure, Outcome, Shard
from genx_runtimes.generate.run import Summary, Watch, generate
from genx_runtimes.generate.runners import RUNNERS, Runner, RunOptions, find_runner
from genx_runtimes.generate.shard import ShardMaker

__all__ = [
    "DEFAULT_SHARD_SIZE",
    "RUNNERS",
    "Dataset",
    "Failure",
    "ImageSettings",
    "Outcome",
    "Plan",
    "RunOptions",
    "Runner",
    "Shard",
    "ShardMaker",
    "Summary",
    "Watch",
    "find_runner",
    "generate",
    "make_plan",
]
