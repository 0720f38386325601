"""A study that tests read, and that docs/python.md speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.spec.columns import evaluation_columns
from orchestrator.store.columns import schema_of
from orchestrator.store.tables import write_rows
from tests.trained import small_job, train

if TYPE_CHECKING:
    from orchestrator.store.local import LocalStore

CLAIM = {
    "id": "A1",
    "says": "The saturating loss is worse.",
    "measure": "fid",
    "better": "lower",
    "group": {"objective.kind": "non_saturating"},
    "than": {"objective.kind": "saturating"},
}


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """What the document's study is like: four trials, their FIDs, and a judgement of the last one's samples."""
    grid = {"objective.kind": ["saturating", "non_saturating"], "training.seed": [0, 1]}
    evaluate = [{"kind": "quality", "samples": 1000}]
    job = small_job(
        "quickstart",
        data={"max_images": 200},
        objective=None,
        grid=grid,
        evaluate=evaluate,
        claims=[CLAIM],
        training={"measure_every": 1, "batch_size": 100},
    )
    store = train(tmp_path_factory.mktemp("studies"), job, [30.0, 34.0, 12.0, 10.0])
    (evaluation,) = job.header.evaluate
    row = {"trial_id": job.trials[3].id, "evaluation_id": evaluation.id, "shard": 0, "samples": 1000, "fid": 10.5}
    schema = schema_of(evaluation_columns(type(evaluation)))
    write_rows(store, evaluation.rows_key(job.trials[3].id, 0), schema, [row])
    return store
