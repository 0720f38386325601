"""Small files that unfold to much, or large ones, in a job's folder; run as a program it measures commands over them.

``python -m tests.cli.bombs`` prints JSON lines: seconds of processor, peak memory, exit code, what was said.
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
import tempfile
import time
import zlib
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.store import query
from orchestrator.store.local import LocalStore
from tests.cli import hostile
from tests.cli.test_hostile_folders import run

if TYPE_CHECKING:
    from collections.abc import Callable

_ROWS_AT_ONCE, _TIMES = 5_000_000, 20


def sparse(path: Path) -> None:
    """Two gigabytes of nothing."""
    with path.open("wb") as file:
        file.truncate(2_000_000_000)


def large_yaml(path: Path) -> None:
    """300 MB of YAML."""
    with path.open("wb") as file:
        for _ in range(300):
            file.write(b"name: study\n" * 83_000)


def aliases(path: Path) -> None:
    """Ten to the power of nine values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    path.write_text("\n".join(lines))


def nesting(path: Path) -> None:
    """A list in a list, as deep as the size allows."""
    path.write_text("[" * 900_000)


def entries(path: Path) -> None:
    """As many values as the size allows."""
    path.write_text("- \n" * 300_000)


def many_rows(path: Path) -> None:
    """A hundred million rows of the same two values, in a few kilobytes."""
    key = path.stem[:16]
    names = pa.DictionaryArray.from_arrays(pa.nulls(_ROWS_AT_ONCE, pa.int32()).fill_null(0), pa.array([key]))
    rows = pa.table({"trial_id": names, "g_loss": pa.nulls(_ROWS_AT_ONCE, pa.float64()).fill_null(0.5)})
    with pq.ParquetWriter(path, rows.schema, compression="zstd", store_schema=False) as writer:
        for _ in range(_TIMES):
            writer.write_table(rows)


def long_text(path: Path) -> None:
    """A million rows of the same megabyte."""
    zeros = pa.nulls(1_000_000, pa.int32()).fill_null(0)
    texts = pa.DictionaryArray.from_arrays(zeros, pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"trial_id": texts, "health": texts}), path, compression="zstd", store_schema=False)


def many_columns(path: Path) -> None:
    """Columns that nobody knows, twenty thousand of them."""
    pq.write_table(pa.table({f"c{n}": [0.0] for n in range(20_000)}), path)


def picture(path: Path) -> None:
    """A picture of 60,000 x 60,000 pixels, in a few kilobytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000_000))), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    )


def text_chunk(path: Path) -> None:
    """A small picture with 300 MB of text in it, compressed."""
    whole = hostile.picture(8, 8)
    deflate = zlib.compressobj(9)
    text = b"".join(deflate.compress(bytes(10_000_000)) for _ in range(30)) + deflate.flush()
    data = b"zTXt" + b"a\0\0" + text
    path.write_bytes(
        whole[:33] + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)) + whole[33:]
    )


BOMBS: tuple[tuple[Callable[[Path], None], str, tuple[str, ...]], ...] = (
    (large_yaml, "job.yaml", ("status", "report")),
    (sparse, "job.yaml", ("status", "report")),
    (aliases, "job.yaml", ("status", "report")),
    (nesting, "job.yaml", ("status", "report")),
    (entries, "job.yaml", ("status", "report")),
    (sparse, "run.json", ("status",)),
    (sparse, "run.log", ("logs",)),
    (sparse, "trials/{trial}.parquet", ("status", "results", "report")),
    (many_rows, "trials/{trial}.parquet", ("status", "results", "report")),
    (many_rows, "metrics/{trial}.parquet", ("status", "results", "report")),
    (long_text, "trials/{trial}.parquet", ("status", "results", "report")),
    (long_text, "metrics/{trial}.parquet", ("status", "report")),
    (many_columns, "trials/{trial}.parquet", ("status", "results", "report")),
    (long_text, "{evaluation}", ("results", "report")),
    (picture, "samples/{trial}/epoch-0002.png", ("report",)),
    (text_chunk, "samples/{trial}/epoch-0002.png", ("report",)),
    (sparse, "samples/{trial}/epoch-0002.png", ("report",)),
)
QUERIES = (
    "select count(*) from range(10000000000000) a, range(100000) b",
    "select repeat('x', 1000000000) from range(100)",
    "select * from range(1000000000000)",
    "select range(100000000) from range(100)",
)
"""That would take for ever, or all memory."""


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _measure(name: str, arguments: tuple[str, ...]) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # see proc(5): the peak begins anew
    began = time.process_time()
    with pytest.MonkeyPatch.context() as patch:
        code, said = run(patch, *arguments)
    took = {"s": round(time.process_time() - began, 2), "peak_mb": round(_peak_mb())}
    found = {"name": name, "command": " ".join(arguments)[:60], "code": code, **took, "said": said[-2000:]}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the queries, with less time than users have; then put each bomb into a job's folder and run what reads it."""
    query.SECONDS = 2.0
    with tempfile.TemporaryDirectory(prefix="orch-bombs-") as folder, chdir(folder):
        job = hostile.whole_job(LocalStore(Path("whole")))
        trial = job.trials[0]
        names = {"trial": trial.id, "evaluation": job.header.evaluate[0].rows_key(trial.id, 0)}
        shutil.copytree("whole", "results/study")
        for sql in QUERIES:  # first: memory that was used and is free again would count for nothing
            _measure("query", ("results", "study", "--sql", sql))
        for bomb, key, commands in BOMBS:
            shutil.rmtree("results", ignore_errors=True)
            shutil.copytree("whole", "results/study")
            place = Path("results/study") / key.format(**names)
            place.unlink(missing_ok=True)
            bomb(place)
            for command in commands:
                _measure(f"{bomb.__name__} as {key}", (command, "study"))


if __name__ == "__main__":
    main()
