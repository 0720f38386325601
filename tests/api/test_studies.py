"""Studies as objects: what storage has, frames that may be changed, trials that draw, and mistakes in one line."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

import orchestrator as orch
from orchestrator.errors import CheckpointError, NotFoundError, SettingsError, StorageError
from orchestrator.report.claims import judge_job
from orchestrator.spec.yaml_file import dump_yaml
from orchestrator.state.files import read_job
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import read_table
from orchestrator.training.checkpoint import load_networks
from tests.figures import undrawn
from tests.trained import small_job, train

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def study(stored: LocalStore) -> orch.Study:
    return orch.open(stored.uri)


def test_tables_are_what_storage_has(study: orch.Study, stored: LocalStore) -> None:
    trials = read_table(stored, "trials").table.to_pandas().set_index("trial_id")
    assert set(study.trials["trial_id"]) == set(trials.index)
    for column in ("fid", "d_loss", "train_s", "training.seed", "objective.kind"):
        expected = trials.loc[study.trials["trial_id"], column].tolist()
        assert study.trials[column].tolist() == expected
    metrics = read_table(stored, "metrics").table.to_pandas()
    assert study.metrics["d_loss"].sum() == pytest.approx(metrics["d_loss"].sum())
    assert len(study.metrics) == len(metrics)
    assert pd.api.types.is_integer_dtype(study.trials["training.seed"])
    quality = study.evaluations("quality")
    assert quality["fid"].tolist() == [10.5]
    assert quality["training.seed"].tolist() == [1]
    assert quality.attrs["labels"]["fid"]
    assert study.evaluations("inversion").empty


def test_columns_tell_their_units_and_labels(study: orch.Study) -> None:
    for frame in (study.trials, study.metrics, study.evaluations("quality"), study.claims):
        assert set(frame.attrs["units"]) | set(frame.attrs["labels"]) <= set(frame.columns)
    assert study.trials.attrs["units"]["train_s"] == "s"
    assert study.metrics.attrs["labels"]["class_kl"] == "class KL, nats"


def test_a_frame_that_is_changed_changes_nothing_else(study: orch.Study) -> None:
    for get in (lambda: study.trials, lambda: study.metrics, lambda: study.evaluations("quality")):
        before = get()
        changed = get()
        changed.loc[:, "fid"] = -1.0
        changed.attrs["units"].clear()
        pd.testing.assert_frame_equal(get(), before)
        assert get().attrs == before.attrs
    assert study.best("fid").row["fid"] == 10.0


def test_verdicts_are_the_reports(study: orch.Study, stored: LocalStore) -> None:
    judged = judge_job(stored, read_job(stored))
    assert study.claims["verdict"].tolist() == [str(one.judgement.word) for one in judged.verdicts]
    assert study.claims.attrs["notices"] == list(judged.notices)


def test_a_job_file_brings_its_own_claims(study: orch.Study, stored: LocalStore, tmp_path: Path) -> None:
    raw = read_job(stored).resolved()
    raw["claims"][0]["better"] = "higher"
    file = tmp_path / "other.yaml"
    file.write_text(dump_yaml({**raw, "storage": str(Path(stored.uri).parent)}))
    for name in (file, str(file)):
        assert orch.open(name).claims["verdict"].tolist() == ["refuted"]
    assert study.claims["verdict"].tolist() == ["supported"]


def test_a_study_in_a_bucket(stored: LocalStore, s3_bucket: str, study: orch.Study) -> None:
    from orchestrator.store.open import open_store

    remote = open_store(f"s3://{s3_bucket}/studies/quickstart")
    for key in stored.keys(""):
        remote.write(key, stored.read(key))
    there = orch.open(f"s3://{s3_bucket}/studies/quickstart")
    pd.testing.assert_frame_equal(there.trials, study.trials)
    assert torch.equal(there.best("fid").sample(3), study.best("fid").sample(3))
    with undrawn():
        assert there.report() == f"s3://{s3_bucket}/studies/quickstart/report/index.html"
    assert remote.read("report/index.html").startswith(b"<!DOCTYPE html>")


class TestTrials:
    def test_the_best_and_the_named(self, study: orch.Study) -> None:
        best = study.best("fid")
        assert best.row["fid"] == study.trials["fid"].min() == 10.0
        assert study.best().id == study.trial(best.id[:8]).id == best.id
        assert best.settings.training.seed == 1
        assert best.metrics["step"].tolist() == study.metrics[study.metrics["trial_id"] == best.id]["step"].tolist()

    def test_samples_are_the_generator_s(self, study: orch.Study, stored: LocalStore) -> None:
        trial = study.best("fid")
        images = trial.sample(7, seed=3)
        assert torch.equal(images, trial.generator()(trial.latents(7, seed=3)))
        networks = load_networks(stored, trial.id, trial.settings)
        assert torch.equal(images, networks["generator"](trial.latents(7, seed=3)))
        assert not torch.equal(images, trial.sample(7, seed=4))
        assert float(trial.latents(50, truncation=0.3).abs().max()) <= 0.3
        assert tuple(trial.sample(300).shape) == (300, 1, 28, 28)
        assert trial.sheet(5).size == (3 * 28 + 2 * 2, 2 * 28 + 2)

    def test_a_generator_that_is_changed_changes_no_sample(self, study: orch.Study) -> None:
        trial = study.best("fid")
        before = trial.sample(2)
        with torch.no_grad():
            next(trial.generator().parameters()).zero_()
        assert torch.equal(trial.sample(2), before)

    def test_they_and_their_study_are_frozen(self, study: orch.Study) -> None:
        for one in (study, study.best("fid")):
            with pytest.raises(dataclasses.FrozenInstanceError):
                one.name = "other"  # type: ignore[misc, union-attr]


MISTAKES: list[tuple[Callable[[orch.Study], Any], type[Exception], str]] = [
    (lambda study: study.best("fidd"), SettingsError, "measure: got 'fidd'; did you mean 'fid'? "),
    (lambda study: study.best("g_loss"), SettingsError, "measure: got 'g_loss'; "),
    (lambda study: study.best("best_fid"), NotFoundError, "no trial that has ended has a value of best_fid"),
    (lambda study: study.evaluations("qualty"), SettingsError, "kind: got 'qualty'; did you mean 'quality'? "),
    (lambda study: study.trial("zz"), NotFoundError, "got 'zz', with which no trial's id begins"),
    (lambda study: study.trial(""), SettingsError, "TRIAL: got '', with which 4 ids begin"),
    (lambda study: study.best("fid").sample(0), SettingsError, "count: got 0, expected a whole number >= 1"),
    (lambda study: study.best("fid").sample(1, seed=-1), SettingsError, "seed: got -1, "),
    (lambda study: study.best("fid").sample(1, truncation=0), SettingsError, "truncation: got 0, "),
    (lambda study: study.best("fid").sheet(1025), SettingsError, "count: got 1025, expected at most 1024"),
    (lambda study: study.best("fid").generator("gpu"), SettingsError, "device: got 'gpu', expected cpu"),
    (
        lambda study: study.best("fid").generator(checkpoint="first"),
        SettingsError,
        "checkpoint: got 'first', expected ",
    ),
    (lambda study: study.best("fid").generator(checkpoint="best"), CheckpointError, "no such checkpoint"),
    (lambda _: orch.open(7), SettingsError, "open: got 7, expected a job's folder, its s3:// URL, or a job file"),
    (lambda _: orch.open(b"results"), SettingsError, "open: got b'results', expected "),
    (lambda _: orch.open(""), StorageError, "storage: got an empty name"),
    (lambda _: orch.open("gs://bucket/x"), StorageError, "storage: gs:// is not supported"),
    (lambda _: orch.open("no.yaml"), SettingsError, "no.yaml: cannot be read: No such file or directory"),
    (lambda _: orch.open("nowhere"), NotFoundError, "/nowhere: there is no such folder; 'orch list' shows "),
    (lambda _: orch.open("a\x1b[31m\n"), StorageError, "storage: got an empty name or one that cannot be printed"),
    (lambda study: orch.open(Path(study.uri).parent), NotFoundError, "is no job but a storage of jobs; open one of "),
]


@pytest.mark.parametrize(("ask", "kind", "line"), MISTAKES, ids=[line for _, _, line in MISTAKES])
def test_mistakes_are_one_line(
    study: orch.Study, ask: Callable[[orch.Study], Any], kind: type[Exception], line: str
) -> None:
    with pytest.raises(kind) as error:
        ask(study)
    assert isinstance(error.value, orch.OrchError)
    assert line in str(error.value)
    assert str(error.value).isprintable()


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no results yet"):
        orch.open(tmp_path)


def test_a_notebook_shows_what_strangers_wrote_as_text(tmp_path: Path) -> None:
    store = train(tmp_path, small_job(training={"epochs": 1}, model={"width": 2}))
    study = orch.open(store.uri)
    results = study._results
    evil = "<script>alert(1)</script>\x1b[2J"
    trials = results.trials.assign(status=evil, job=evil, **{"model.kind": evil})
    shown = dataclasses.replace(study, _results=dataclasses.replace(results, trials=trials, raw={"name": evil}))
    for html in (shown._repr_html_(), shown._trial(str(trials["trial_id"][0]))._repr_html_()):
        assert "<script" not in html
        assert "\x1b" not in html
    assert "\x1b" not in repr(shown)
    assert "&lt;script&gt;" in shown._repr_html_()


def test_a_notebook_shows_the_first_of_many(study: orch.Study) -> None:
    results = study._results
    many = pd.concat([results.trials] * 10, ignore_index=True)
    html = dataclasses.replace(study, _results=dataclasses.replace(results, trials=many))._repr_html_()
    assert html.count("<tr>") == 20
    assert "and 20 trials more" in html


def test_trials_of_settings_that_are_unknown_today_are_rows_all_the_same(tmp_path: Path, stored: LocalStore) -> None:
    shutil.copytree(stored.uri, tmp_path / "quickstart")
    store = LocalStore(tmp_path / "quickstart")
    trial_id = "0123456789abcdef"
    store.write(f"checkpoints/{trial_id}.pt", b"of nobody knows what")
    trial = orch.open(store.uri).trial("0123")
    assert (trial.id, trial.row) == (trial_id, {})
    with pytest.raises(CheckpointError, match="settings of trial 0123456789abcdef are not known"):
        trial.sample(1)


def test_the_import_is_light(tmp_path: Path, stored: LocalStore) -> None:
    code = (
        "import sys\n"
        "import orchestrator as orch\n"
        "heavy = ('torch', 'ray', 'pandas', 'numpy', 'pydantic', 'matplotlib', 'pyarrow')\n"
        "print([name for name in heavy if name in sys.modules], sorted(set(orch.__all__) - set(dir(orch))))\n"
        f"study = orch.open({stored.uri!r})\n"
        "study.trials, study.best('fid').row, repr(study)\n"
        "print([name for name in ('torch', 'ray') if name in sys.modules])\n"
        "try:\n"
        "    orch.nothing\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.stdout == "[] []\n[]\nmodule 'orchestrator' has no attribute 'nothing'\n", ran.stderr


def test_numbers_of_frames_are_numbers(study: orch.Study) -> None:
    """What a chart or a regression would ask for."""
    assert np.isfinite(study.trials[["fid", "training.seed", "training.g_optimizer.lr"]].to_numpy(dtype=float)).all()
