"""``python -m fuzzing``: try every door thirty thousand times, and record what was found.

Each door runs in a process of its own under atheris, which follows the branches of the library and
keeps what reaches a new one; the explorer's doors run in Node. A door that is done is kept, so that
the campaign may be stopped and begun again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "data" / "results" / "fuzzing.json"
WORK = ROOT / "_build" / "fuzzing"
EXPLORER = ("paste", "fragment")
#: A case that takes longer, in s, or more addresses, in bytes, is a finding.
PATIENCE, MEMORY = 20, 16 * 2**30
#: What takes tens of milliseconds a case is tried less often.
RUNS, SLOW = 30_000, {"command": 2000, "parquet": 3000}
SEED = 14


def campaign(door: str, runs: int) -> dict[str, Any]:
    """Try one door under atheris, in this process."""
    import atheris

    with atheris.instrument_imports(include=["thinkqueue"]):
        from .damage import spoilt
        from .seeds import seeds
        from .targets import DOORS

    ends: Counter[str] = Counter()
    found: dict[str, dict[str, str]] = {}

    def one(data: bytes) -> None:
        try:
            ends[DOORS[door](data).value] += 1
        except Exception as error:
            frames, trail = [], error.__traceback__
            while trail:
                code = trail.tb_frame.f_code
                if "thinkqueue" in code.co_filename:
                    frames.append(f"{Path(code.co_filename).name}:{trail.tb_lineno}")
                trail = trail.tb_next
            key = f"{type(error).__name__} at {frames[-1] if frames else 'the rule'}"
            ends["finding"] += 1
            found.setdefault(
                key,
                {"found": f"{key}: {error}"[:300], "case": data[:400].decode("utf-8", "replace")},
            )
        if sum(ends.values()) == runs:
            (WORK / f"{door}.ends.json").write_text(
                json.dumps({"ends": ends, "found": list(found.values())}), encoding="utf-8"
            )

    def damage(data: bytes, most: int, seed: int) -> bytes:
        choose = random.Random(seed)
        if choose.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        return spoilt(data if choose.random() < 0.7 else choose.choice(seeds(door)), choose)[:most]

    corpus = WORK / door
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    for text in seeds(door):
        (corpus / hashlib.sha256(text).hexdigest()[:16]).write_bytes(text)
    arguments = [
        f"-runs={runs}", f"-seed={SEED}", f"-timeout={PATIENCE}", "-rss_limit_mb=0",
        "-max_len=65536", f"-artifact_prefix={WORK}/{door}-", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=damage)
    atheris.Fuzz()
    raise SystemExit


def followed(door: str, runs: int) -> dict[str, Any]:
    """Run a campaign in a process of its own and return what it saw."""
    command = [sys.executable, "-m", "fuzzing", "--door", door, "--runs", str(runs)]
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
        errors="replace",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )  # fmt: skip
    said = WORK / f"{door}.ends.json"
    if done.returncode or not said.is_file():
        return {"door": door, "stopped": done.stderr[-2000:]}
    told = json.loads(said.read_text(encoding="utf-8"))
    edges = re.findall(r"cov: (\d+)", done.stderr)
    return {
        "door": door,
        "cases": sum(told["ends"].values()),
        "results": told["ends"].get("result", 0),
        "refusals": told["ends"].get("refusal", 0),
        "edges": int(edges[-1]) if edges else 0,
        "edges_at_start": int(edges[0]) if edges else 0,
        "seconds": round(time.monotonic() - begun),
        "findings": told["found"],
    }


def in_node(door: str, runs: int, step: int = 5000) -> dict[str, Any]:
    """Try a door of the explorer."""
    from .damage import spoilt
    from .explorer import findings, tried
    from .seeds import seeds

    choose, begun = random.Random(SEED), time.monotonic()
    ends: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    for _ in range(0, runs, step):
        cases = [(door, spoilt(choose.choice(seeds(door)), choose)) for _ in range(step)]
        answer = tried(cases)
        ends.update(answer)
        found += findings(cases, answer)
    return {
        "door": door,
        "cases": sum(ends.values()),
        "results": ends["result"],
        "refusals": ends["refusal"],
        "seconds": round(time.monotonic() - begun),
        "findings": found[:20],
    }


def main() -> None:
    """Go on with the campaign, or be the process that tries one door."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", help="try this door only, and record nothing")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--again", nargs="*", default=[], help="doors to try once more")
    asked = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if asked.door:
        campaign(asked.door, asked.runs)
    from benchmarks.measuring import machine, record

    from .targets import DOORS

    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {"doors": []}
    done = {row["door"]: row for row in known["doors"] if row["door"] not in asked.again}
    doors = (*DOORS, *EXPLORER)
    if done.keys() >= set(doors):  # that campaign is over, and another begins
        done.clear()
    for door in doors:
        if door in done:
            continue
        runs = min(asked.runs, SLOW.get(door, asked.runs))
        row = in_node(door, runs) if door in EXPLORER else followed(door, runs)
        if "stopped" in row:
            sys.exit(f"{door}: {row['stopped']}")
        done[door] = row
        print(door, row["cases"], "cases,", len(row["findings"]), "findings", flush=True)
        record("fuzzing", known | {"machine": machine("atheris", "hypothesis"), "seed": SEED,
                                   "doors": list(done.values())})  # fmt: skip
    if any(row["findings"] for row in done.values()):
        sys.exit("something was found; it stands in data/results/fuzzing.json")


if __name__ == "__main__":
    main()
