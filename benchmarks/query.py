"""Reading a million rows of metrics/ with ``orch results --sql``, as a user would: the whole command."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.rows import publish, row
from orchestrator.store.columns import FLOAT, METRICS, schema_of
from orchestrator.store.open import open_store
from orchestrator.store.tables import write_rows

TRIALS, ROWS_EACH, RUNS = 200, 5000, 5
SQL = "select trial_id, max(step) as steps, avg(g_loss) as g_loss from metrics group by trial_id order by g_loss"


def main() -> None:
    """Write the rows, then run the command a few times."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder).child("big")
        random = np.random.default_rng(0)
        for trial in range(TRIALS):
            names = [column.name for column in METRICS if column.dtype == FLOAT]
            values = random.normal(size=(ROWS_EACH, len(names)))
            rows = [
                dict(zip(names, line, strict=True)) | {"trial_id": f"{trial:016x}", "step": index}
                for index, line in enumerate(values.tolist())
            ]
            write_rows(store, f"metrics/{trial:016x}.parquet", schema_of(METRICS), rows)
        times = []
        for _ in range(RUNS):
            command = [sys.executable, "-m", "orchestrator.cli", "results", "big", "--storage", folder, "--sql", SQL]
            began = time.perf_counter()
            subprocess.run([*command, "--csv", str(Path(folder) / "out.csv")], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
    took = statistics.median(times)
    publish(
        row(f"orch results --sql over {TRIALS * ROWS_EACH:,} rows, whole command", f"{took:.2f} s", "< 2 s", took < 2)
    )


if __name__ == "__main__":
    main()
