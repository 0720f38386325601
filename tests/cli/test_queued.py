"""Jobs in a pretended Slurm's queue: where they are, what they print, and that cancelling is for good."""

from __future__ import annotations

import json
import shlex
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import control, queued
from orchestrator.spec.job import load_job
from orchestrator.state.files import RunState, asked_to_cancel, read_state, write_job, write_state
from orchestrator.state.handovers import Handover, read_handover, write_handover
from orchestrator.state.log import RunLog
from tests.cli.fake_slurm import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.local import LocalStore
    from tests.cli.fake_slurm import Fake


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, fake: Fake) -> None:
    for name, seconds in {"_POLL_S": 0.01, "_ASK_S": 0.0, "_HEED_S": 0.5, "_OBEY_S": 0.5, "_OVER_S": 0.5}.items():
        monkeypatch.setattr(queued, name, seconds)
    monkeypatch.setattr(control, "_POLL_S", 0.01)


@pytest.fixture
def handed(store: LocalStore) -> Handover:
    """The job was handed over, and its run has not begun."""
    handover = Handover("slurm", "12", time.time())
    write_handover(store, handover)
    return handover


def begun(store: LocalStore, state: str) -> RunState:
    """The job's run has begun in an allocation."""
    write_job(store, load_job(Path("job.yaml")))
    run = RunState(state, time.time() - 9, time.time() - 5, 4, 1, address="slurm", submission_id="12", run_id="a1")
    write_state(store, run)
    return run


@pytest.mark.parametrize(
    ("state", "facts", "line"),
    [
        ("running", {"nodes": "n[1-2]", "restarts": 2}, "Slurm: job 12 runs on n[1-2], requeued twice"),
        ("interrupted", {"reason": "BeginTime", "restarts": 1}, "Slurm: job 12 is pending (BeginTime), requeued once"),
        ("failed", {"reason": "NonZeroExitCode", "restarts": 3},
         "Slurm: job 12 has ended: FAILED (NonZeroExitCode), requeued 3 times"),
        ("done", {}, "Slurm: job 12 has ended: COMPLETED"),
    ],
)  # fmt: skip
def test_status_says_where_a_job_is(
    orch: Callable[..., Any],
    fake: Fake,
    store: LocalStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    facts: dict[str, Any],
    line: str,
) -> None:
    monkeypatch.setattr("orchestrator.state.liveness.LISTEN_S", 0.02)
    word = {"running": "RUNNING", "interrupted": "PENDING", "failed": "FAILED", "done": "COMPLETED"}[state]
    begun(store, state)
    fake.answers("scontrol", shown(folder, word, **facts))
    assert orch("status", "study").out.splitlines()[0] == line
    (said,) = json.loads(orch("status", "study", "--json").out)["queue"]
    assert (said["submission_id"], said["state"], said["problem"]) == ("12", word, None)
    assert said["requeued"] == facts.get("restarts", 0)
    assert said["nodes"] == facts.get("nodes")


def test_a_job_that_waits_is_not_listened_for(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.state.liveness.LISTEN_S", 60.0)
    begun(store, "running")
    fake.answers("scontrol", shown(folder, "PENDING", reason="NodeFail"))
    assert orch("status", "study").out.splitlines()[:2] == [
        "Slurm: job 12 is pending (NodeFail)",
        "study: not running; 4 waiting",
    ]


@pytest.mark.parametrize(
    ("state", "facts", "lines"),
    [
        ("PENDING", {"reason": "Priority"}, ["study: {}, which is pending there (Priority)"]),
        ("RUNNING", {"nodes": "n1"},
         ["study: {}, which has started there, but not begun to train", "Slurm: job 12 runs on n1"]),
    ],
)  # fmt: skip
def test_status_before_the_run_begins(
    orch: Callable[..., Any],
    fake: Fake,
    handed: Handover,
    folder: Path,
    state: str,
    facts: dict[str, Any],
    lines: list[str],
) -> None:
    fake.answers("scontrol", shown(folder, state, **facts))
    assert orch("status", "study").out.splitlines() == [line.format(handed) for line in lines]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("slurm_load_jobs error: Invalid job id specified", "Slurm no longer knows job 12"),
        (
            "Unable to contact slurm controller",
            "Slurm was not asked for job 12 (scontrol: Unable to contact slurm controller); this is what storage says",
        ),
    ],
)
def test_without_an_answer_status_says_what_storage_says(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, answer: str, line: str
) -> None:
    begun(store, "interrupted")
    fake.answers("scontrol", error=answer)
    first, second, *_ = orch("status", "study").out.splitlines()
    assert (first, second) == (line, "study: not running; 4 waiting")
    begun(store, "done")
    assert orch("status", "study").out.startswith("study: not running"), "nothing is expected of a run that is over"


def test_a_number_of_another_cluster_is_not_taken_for_the_job(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, folder: Path
) -> None:
    begun(store, "interrupted")
    fake.answers("scontrol", shown(folder, "RUNNING", nodes="n1").replace("orch-study", "anothers"))
    assert orch("status", "study").out.startswith("Slurm no longer knows job 12\n")


def test_the_log_of_a_run_that_has_not_begun_is_what_the_nodes_print(
    orch: Callable[..., Any], fake: Fake, handed: Handover, folder: Path
) -> None:
    fake.answers("scontrol", shown(folder, "RUNNING"))
    (folder / "results" / "_slurm").mkdir()
    (folder / "results" / "_slurm" / "12.out").write_text("one\nerror: n1 has no python\n")
    ran = orch("logs", "study", "--lines", "1")
    assert (ran.code, ran.out) == (0, "error: n1 has no python\n")
    fake.answers("scontrol", shown(folder, "FAILED", code=2))
    ran = orch("logs", "study", "-f")
    assert (ran.code, ran.out) == (2, "one\nerror: n1 has no python\n")
    assert ran.err == f"error: study: {handed}, which came to nothing: n1 has no python\n"


def test_a_log_is_followed_through_the_queue(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, folder: Path
) -> None:
    begun(store, "interrupted")
    first = RunLog(store)
    first.add("the first attempt")
    first.end()
    waits = shown(folder, "PENDING", reason="BeginTime", restarts=1)
    fake.answers("scontrol", waits)

    def go_on() -> None:
        while len(fake.asked("scontrol")) < 3:
            time.sleep(0.01)
        fake.answers("scontrol", shown(folder, "RUNNING", nodes="n2", restarts=1))
        begun(store, "running")
        second = RunLog(store)
        second.add("the second attempt")
        second.end()
        begun(store, "done")
        while len(fake.asked("scontrol")) < 6:
            time.sleep(0.01)
        fake.answers("scontrol", shown(folder, "COMPLETED"))

    thread = threading.Thread(target=go_on)
    thread.start()
    ran = orch("logs", "study", "-f")
    thread.join()
    assert [line.partition("  ")[2] for line in ran.out.splitlines()] == ["the first attempt", "the second attempt"]
    assert ran.err.splitlines() == [
        "Slurm: job 12 is pending (BeginTime), requeued once",
        "Slurm: job 12 runs on n2, requeued once",
    ]


def becomes(fake: Fake, folder: Path, state: str, condition: str) -> str:
    """Shell code by which scontrol shows a state once a command was given with these arguments."""
    text = shlex.quote(shown(folder, state))
    return f'[ "$asked" = {shlex.quote(condition)} ] && printf %s {text} >{fake.folder}/scontrol.answer.0; true'


@pytest.fixture
def slurm_ends(fake: Fake, folder: Path) -> Callable[[str], None]:
    """Has the job run until scancel is given with these arguments; a word to scontrol changes nothing."""

    def slurm_ends(condition: str) -> None:
        fake.answers("scontrol", shown(folder, "RUNNING", nodes="n1"))
        fake.answers("scontrol", "", to="update")
        fake.answers("scancel", "", does=becomes(fake, folder, "CANCELLED", condition))

    return slurm_ends


def updates(fake: Fake) -> list[str]:
    return [line for line in fake.asked("scontrol") if not line.startswith("show")]


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_job_that_waits_is_taken_out_of_the_queue(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, handed: Handover, folder: Path, restarts: int
) -> None:
    fake.answers("scontrol", shown(folder, "PENDING", reason="Priority", restarts=restarts))
    fake.answers("scancel", "")
    ran = orch("cancel", "study")
    again = ", requeued once" if restarts else ""
    assert (ran.code, ran.out) == (0, f"job 12 is pending (Priority){again}, and was taken out of the queue\n")
    assert fake.asked("scancel") == ["12"]
    handover = read_handover(store)
    assert handover is not None
    assert handover.error == "it was cancelled"


def test_a_run_stops_by_the_word_in_storage(
    orch: Callable[..., Any],
    fake: Fake,
    store: LocalStore,
    folder: Path,
    slurm_ends: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_HEED_S", "_OBEY_S"):  # against hanging alone: it does stop
        monkeypatch.setattr(queued, name, 120.0)
    run = begun(store, "running")
    slurm_ends("-")
    ended: list[bool] = []

    def driver() -> None:
        while not asked_to_cancel(store, run):
            time.sleep(0.01)
        begun(store, "cancelled")
        fake.answers("scontrol", shown(folder, "FAILED", code=130))
        ended.append(True)

    thread = threading.Thread(target=driver)
    thread.start()
    ran = orch("cancel", "study")
    thread.join()
    assert ended
    assert (ran.code, ran.err) == (0, "asked the run of study to stop\n")
    assert ran.out == "job 12 has ended: FAILED; cancelled: 1 of 4 trials had ended\n"
    assert (fake.asked("scancel"), updates(fake)) == ([], [])


@pytest.mark.parametrize("in_storage", [True, False])
def test_a_run_that_does_not_hear_it_is_stopped_by_slurm_for_good(
    orch: Callable[..., Any],
    fake: Fake,
    store: LocalStore,
    handed: Handover,
    slurm_ends: Callable[[str], None],
    in_storage: bool,
) -> None:
    if in_storage:
        begun(store, "running")
    slurm_ends("--signal=TERM 12.0")
    ran = orch("cancel", "study")
    words = ["asked the run of study to stop"] if in_storage else []
    assert ran.err.splitlines() == [*words, "sent SIGTERM to the processes of job 12"]
    assert ran.out.startswith("job 12 has ended: CANCELLED")
    assert updates(fake) == ["update JobId=12 Requeue=0"], "what ends by SIGTERM would be requeued"
    assert fake.asked("scancel") == ["--signal=TERM 12.0"]


def test_a_job_that_stays_is_cancelled_by_slurm(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, slurm_ends: Callable[[str], None]
) -> None:
    begun(store, "running")
    slurm_ends("12")
    ran = orch("cancel", "study")
    assert ran.code == 0
    assert ran.err.splitlines()[1:] == ["sent SIGTERM to the processes of job 12", "had Slurm cancel job 12"]
    assert ran.out == "job 12 has ended: CANCELLED; running: 1 of 4 trials had ended\n"
    slurm_ends("-")
    assert orch("cancel", "study").err.splitlines()[-1] == (
        "error: job 12 is still there 0 s after scancel; does its node answer?"
    )


@pytest.mark.parametrize("address", [[], ["--address", "slurm"]])
def test_without_an_answer_the_word_goes_through_storage_or_not_at_all(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, monkeypatch: pytest.MonkeyPatch, address: list[str]
) -> None:
    monkeypatch.setattr("orchestrator.state.liveness.LISTEN_S", 0.02)
    begun(store, "running")
    fake.answers("scontrol", error="no controller")
    ran = orch("cancel", "study", *address)
    assert ran.code == 2
    if address:
        assert ran.err == "error: scontrol: no controller\n"
    else:
        note, error = ran.err.splitlines()
        assert note == "Slurm was not asked (scontrol: no controller); the word goes through storage alone"
        assert error.startswith(f"error: {store.uri}: no run is at work on it: running")


def test_a_job_that_has_ended_has_no_run_to_stop(
    orch: Callable[..., Any], fake: Fake, store: LocalStore, folder: Path
) -> None:
    begun(store, "done")
    fake.answers("scontrol", shown(folder, "COMPLETED"))
    assert orch("cancel", "study").mistake.startswith(f"{store.uri}: no run is at work on it: done")
    state = read_state(store)
    assert state is not None
    assert not asked_to_cancel(store, state)
