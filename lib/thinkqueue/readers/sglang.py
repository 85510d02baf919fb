"""``python -m sglang.bench_serving --output-details``: JSON lines, one run of parallel lists each.

No time of sending is written, so that such a log says neither how often queries come nor who was
there together; times are those of a query alone only where ``max_concurrency`` was 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, left_out
from thinkqueue.readers.log import Request


def _recognises(document: Document) -> bool:
    return (
        has(document, "json lines", "input_lens", "output_lens", "ttfts", "itls")
        and "start_times" not in document.first
    )


def _read(document: Document) -> Reading:
    runs = document.content if isinstance(document.content, list) else [document.content]
    failed, of = 0, 0
    for _, run in document.objects(runs):
        failed += sum(1 for error in run.get("errors") or [] if error)
        of += len(document.column(run, "output_lens"))
    return _requests(document, runs), left_out(failed, of, "failed")


def _requests(document: Document, runs: list[dict[str, object]]) -> Iterator[Request]:
    for run in runs:
        alone, clock = run.get("max_concurrency") == 1, 0.0
        output = document.column(run, "output_lens")
        names = ("input_lens", "ttfts", "itls", "errors")
        lists = (document.column(run, name, len(output)) for name in names)
        for row, (tokens, prompt, first, gaps, error) in enumerate(
            zip(output, *lists, strict=True)
        ):
            if error:
                continue
            to_first = document.number(first, row=row, field="ttfts")
            parts = [document.number(gap, row=row, field="itls") for gap in gaps or []]
            whole = to_first + math.fsum(parts) if gaps is not None else math.nan
            yield Request(
                sent=clock if alone else math.nan,
                to_first=to_first,
                latency=whole,
                prompt_tokens=document.number(prompt, row=row, field="input_lens"),
                output_tokens=document.number(tokens, row=row, field="output_lens"),
                traffic=False,
            )
            clock += whole


SGLANG = Format(
    "SGLang bench_serving",
    _recognises,
    _read,
    holds="tokens generated, times; no arrivals",
    remedy="SGLang counts thoughts since #15562",
)
