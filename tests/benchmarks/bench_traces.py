"""Record what two real traces are and do, where they are found; say so where they are not.

The Azure LLM inference traces 2023 (CC BY 4.0) are published at
https://github.com/Azure/AzurePublicDataset; put AzureLLMInferenceTrace_conv.csv and
AzureLLMInferenceTrace_code.csv into one folder and name it in THINKQUEUE_TRACES.
"""

from __future__ import annotations

import os
from pathlib import Path

from thinkqueue import Workload
from thinkqueue.arrivals import Trace, record, write_records

ROOT = Path(__file__).parents[2]
TRACES = {
    "conversation": "AzureLLMInferenceTrace_conv.csv",
    "code": "AzureLLMInferenceTrace_code.csv",
}


def traces_folder() -> Path | None:
    """Return where the traces are: as the environment says, or beside the checkout."""
    named = os.environ.get("THINKQUEUE_TRACES")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "traces"
    return folder if all((folder / file).is_file() for file in TRACES.values()) else None


def read_traces(folder: Path) -> list[Trace]:
    """Read both traces."""
    return [Trace.of(Trace.from_csv(folder / file).times, name) for name, file in TRACES.items()]


def main() -> None:
    """Renew data/arrivals."""
    folder = traces_folder()
    if folder is None:
        print("bench_traces: no traces found; THINKQUEUE_TRACES may name their folder.")
        return
    workload = Workload.from_toml(ROOT / "data" / "workloads" / "qwen3-8b.toml")
    recorded = [record(trace, workload) for trace in read_traces(folder)]
    write_records(ROOT / "data" / "arrivals", recorded)
    for one in recorded:
        print(f"{one.statistics.name}: cv {one.statistics.cv:.3f}, fitted {one.model.cv:.3f}")


if __name__ == "__main__":
    main()
