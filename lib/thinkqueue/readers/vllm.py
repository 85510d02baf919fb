"""``vllm bench serve --save-result --save-detailed``: one JSON object of parallel lists.

The fields are those of ``vllm/benchmarks/serve.py``. Newer versions add ``latencies`` and
``queue_times``; before them the time of a request is its first token plus its gaps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, left_out
from thinkqueue.readers.log import Request


def _recognises(document: Document) -> bool:
    return has(document, "json lines", "input_lens", "output_lens", "ttfts", "start_times")


def _read(document: Document) -> Reading:
    runs = document.content if isinstance(document.content, list) else [document.content]
    failed, of = 0, 0
    for _, run in document.objects(runs):
        errors = run.get("errors") or []
        failed += sum(1 for error in errors if error)
        of += len(document.column(run, "output_lens"))
    return _requests(document, runs), left_out(failed, of, "failed")


def _requests(document: Document, runs: list[dict[str, object]]) -> Iterator[Request]:
    for run in runs:
        # as fast as they can be sent, or when the one before is answered: no user's doing
        traffic = str(run.get("request_rate")).casefold() not in ("inf", "infinity")
        output = document.column(run, "output_lens")
        names = (
            "input_lens", "ttfts", "start_times", "itls", "latencies", "queue_times", "errors",
        )  # fmt: skip
        lists = (document.column(run, name, len(output)) for name in names)
        for row, cells in enumerate(zip(output, *lists, strict=True)):
            tokens, prompt, first, start, gaps, latency, queue, error = cells
            if error:
                continue
            sent = document.moment(start, row=row, field="start_times")
            to_first = document.number(first, row=row, field="ttfts")
            whole = document.number(latency, row=row, field="latencies")
            if math.isnan(whole) and gaps is not None:
                parts = [document.number(gap, row=row, field="itls") for gap in gaps]
                whole = to_first + math.fsum(parts)
            yield Request(
                sent=sent,
                to_first=to_first,
                latency=whole,
                waited=document.number(queue, row=row, field="queue_times"),
                prompt_tokens=document.number(prompt, row=row, field="input_lens"),
                output_tokens=document.number(tokens, row=row, field="output_lens"),
                traffic=traffic,
            )


VLLM = Format(
    "vLLM bench serve",
    _recognises,
    _read,
    holds="tokens generated, times, arrivals",
)
