"""Reports as a page: one HTML file that needs nothing else."""

from __future__ import annotations

from genx_runtimes.bench.page.document import make_page

__all__ = ["make_page"]
