"""What is asked of Slurm: where it may stand, which of several places wins, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import SettingsError
from orchestrator.spec.job import make_job
from orchestrator.spec.slurm import merged, read_flags, read_site, seconds_of
from tests.jobs import raw_job

if TYPE_CHECKING:
    from pathlib import Path

NO_FLAGS: dict[str, str | None] = {}


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("8:00:00", 28_800),
        ("2-0", 172_800),
        ("1-12:30", 131_400),
        ("1-0:0:5", 86_405),
        ("soon", None),
        ("1:2:3:4", None),
        ("", None),
    ],
)
def test_times_are_read_as_slurm_reads_them(time: str, seconds: int | None) -> None:
    assert seconds_of(time) == seconds


def test_flags_win_over_the_job_file_and_that_over_the_site_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("resources: {slurm: {account: vision, partition: slow, exclusive: true, nodes: 2}}\n")
    monkeypatch.setenv("ORCH_SITE", str(site))
    asked = make_job(raw_job("a", resources={"slurm": {"partition": "gpu", "cpus_per_task": 4, "nodes": 3}}), "a.yaml")
    flags = read_flags({"nodes": "4", "time": None}, ["exclusive=false", "qos=long"])
    assert merged(read_site(), asked.header.resources.slurm or {}, flags) == {
        "account": "vision",
        "partition": "gpu",
        "cpus-per-task": 4,
        "nodes": "4",
        "qos": "long",
        "signal": "B:USR1@120",
    }


def test_a_site_s_file_lies_with_the_user_s_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_SITE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_site() == {}
    (tmp_path / "orch").mkdir()
    (tmp_path / "orch" / "site.yaml").write_text("resources: {slurm: {account: vision}}\n")
    assert read_site() == {"account": "vision"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("resources: {slurm: {array: 0-3}}", "resources.slurm: array: cannot be set: a job is one allocation"),
        ("resources: {slurm: {account: [a]}}", 'resources.slurm: account: got ["a"], expected text, a whole number, '),
        ("resource: {}", "resource: unknown key; did you mean 'resources'?"),
        ("- a", "holds a list"),
    ],
)
def test_mistakes_in_a_site_s_file_take_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, problem: str
) -> None:
    (tmp_path / "site.yaml").write_text(content)
    monkeypatch.setenv("ORCH_SITE", str(tmp_path / "site.yaml"))
    with pytest.raises(SettingsError) as error:
        read_site()
    assert str(error.value).startswith(f"{tmp_path}/site.yaml: {problem}")


def test_a_site_s_file_that_is_named_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_SITE", str(tmp_path / "none.yaml"))
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read"):
        read_site()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"nodes": 0}, "nodes: got 0, expected a whole number > 0"),
        ({"gpus_per_node": "many"}, "gpus_per_node: got 'many', expected a number of GPUs, or type:number"),
        ({"time": "a while"}, "time: got 'a while', expected "),
        ({"time": "soon"}, "time: got 'soon', expected a time as Slurm writes it: minutes, "),
        ({"signal": "TERM@60"}, "signal: got 'TERM@60', expected B:USR1@SECONDS"),
        ({"comment": "x"}, "comment: cannot be set: "),
        ({"qos": 'a" --wrap="x'}, "qos: got "),
        ({"qos": "a\nb"}, "qos: got "),
        ({"qos": ""}, "qos: got ''"),
        ({"a b": "c"}, "a b: expected the name of a long option of sbatch"),
        ({"mem_per_cpu": 1, "mem-per-cpu": 2}, "mem-per-cpu: stands twice"),
    ],
)
def test_mistakes_in_a_job_file_take_one_line(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        make_job(raw_job("a", resources={"slurm": options}), "a.yaml")
    assert str(error.value).startswith(f"a.yaml: resources.slurm: {problem}")


@pytest.mark.parametrize(
    ("named", "pairs", "problem"),
    [
        ({"nodes": "-1"}, [], "--nodes: got '-1', expected a whole number > 0"),
        (NO_FLAGS, ["account"], "--slurm: account: expected key=value, such as account=vision"),
        (NO_FLAGS, ["array=1-9"], "--slurm: array: cannot be set: "),
        ({"partition": "gpu"}, ["partition=cpu"], "--slurm: partition: is given twice"),
        (NO_FLAGS, ["qos="], "--slurm: qos: got ''"),
    ],
)
def test_mistakes_in_flags_take_one_line(named: dict[str, str | None], pairs: list[str], problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_flags(named, pairs)
    assert str(error.value).startswith(problem)


def test_a_time_limit_leaves_room_beside_that_for_storing() -> None:
    with pytest.raises(SettingsError, match=r"--time: got '2', expected at least 180 s: 120 s of it are for storing"):
        merged({"time": "2"})
    assert merged({"time": "2", "signal": "B:USR1@60"})["time"] == "2"


def test_what_is_asked_of_slurm_is_in_no_id() -> None:
    plain = make_job(raw_job("a"), "a.yaml")
    asked = make_job(raw_job("a", resources={"slurm": {"partition": "gpu", "nodes": 4, "exclusive": True}}), "a.yaml")
    assert [trial.id for trial in asked.trials] == [trial.id for trial in plain.trials]
    assert make_job(asked.resolved(), "b.yaml").header == asked.header
