"""rm and prune: take a job's files away, or its checkpoints alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from orchestrator.cli.completion import complete_trial
from orchestrator.cli.console import err, out, spinner
from orchestrator.cli.hold import confirm, free_of_runs, held
from orchestrator.cli.options import JobName, NamedJob, Storage, TakeOver, name_job
from orchestrator.cli.usage import one_of, refuse_without
from orchestrator.errors import OrchError, SettingsError, StorageError
from orchestrator.text import plural, size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.state.removal import Keep
    from orchestrator.store.location import Store

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def rm(
    job: JobName,
    trials: Annotated[
        list[str] | None,
        typer.Option(
            "--trials",
            metavar="TRIAL",
            help="Only this trial, by the beginning of its id; repeatable.",
            autocompletion=complete_trial,
        ),
    ] = None,
    storage: Storage = None,
    take_over: TakeOver = False,
    yes: Yes = False,
) -> None:
    """Remove a job from its storage, or some of its trials, which then count as new.

    Only files that orch has written go, and no link is followed. It is refused while a run of the job is at work; what
    is interrupted can be repeated. Classifiers, which jobs share, stay.

    Examples: `orch rm quickstart` · `orch rm quickstart --trials 1f3a --trials 9b2c --yes` ·
    `orch rm my_sweep --storage s3://bucket/studies`
    """
    from orchestrator.state.removal import files_of_job, files_of_trials, remove, remove_trials

    named = name_job(job, storage)
    named.require()
    chosen = _chosen(named, trials or [])

    def find() -> dict[str, int]:
        if chosen:
            return files_of_trials(named.store, chosen)
        return files_of_job(named.store, _figures(named.store))

    previous, files = free_of_runs(named, take_over=take_over), find()
    what = f"{plural(len(chosen), 'trial')} of {named.name}" if chosen else f"the job {named.name}"
    confirm(f"remove {what} from {named.root.uri}: {_amount(files)}?", yes=yes)
    with held(named.store, previous) as store:
        files = find()
        store.tidy()
        _with_progress(lambda advance: (remove_trials if chosen else remove)(store, files, advance), len(files))
    if not chosen:
        if left := named.store.keys():
            err.print(
                f"{plural(len(left), 'file')} that orch has not written stayed, such as {left[0]}", soft_wrap=True
            )
        named.store.drop_folder()
    out.print(f"removed {what}: {_amount(files)}", soft_wrap=True)


def prune(
    job: JobName,
    keep: Annotated[str | None, typer.Option("--keep", metavar="WHICH", help="best, last or none; see above.")] = None,
    measure: Annotated[
        str | None, typer.Option("--measure", metavar="NAME", help="With --keep best: the measure, such as fid.")
    ] = None,
    storage: Storage = None,
    take_over: TakeOver = False,
    yes: Yes = False,
) -> None:
    """Free the room of checkpoints, of trials that are done; results, report and verdicts stay.

    `--keep best` keeps the checkpoints of one trial, which is best by `--measure`: by default that of the job's search,
    else FID, else that of the first claim that says what is better, else bits per dimension. `--keep last` keeps the
    last state of each trial, and removes the networks of its lowest FID; `--keep none` removes all. What is gone can
    neither be sampled nor exported nor evaluated. Trials that are to go on keep theirs. It is refused while a run of
    the job is at work.

    Examples: `orch prune quickstart --keep last` · `orch prune quickstart --keep best --measure class_kl --yes` ·
    `orch prune my_sweep --keep none --storage s3://bucket/studies`
    """
    from orchestrator.state.ledger import read_ledger
    from orchestrator.state.removal import Keep, remove, spare_checkpoints

    named = name_job(job, storage)
    which: Keep = one_of("--keep", keep, get_args(Keep))
    refuse_without(("--keep best", keep == "best"), ("--measure", measure))
    named.require()
    best = _best(named, measure) if keep == "best" else ()

    def find() -> dict[str, int]:
        done = {trial for trial, ended in read_ledger(named.store).items() if ended.status.final}
        return spare_checkpoints(named.store, which, done, best)

    previous, files = free_of_runs(named, take_over=take_over), find()
    if not files:
        out.print(f"{named.name}: no checkpoint can go", soft_wrap=True)
        return
    confirm(f"remove checkpoints of {named.name} from {named.root.uri}: {_amount(files)}?", yes=yes)
    with held(named.store, previous) as store:
        files = find()
        _with_progress(lambda advance: remove(store, files, advance), len(files))
    out.print(f"freed {size(sum(files.values()))}: {plural(len(files), 'file')} of checkpoints", soft_wrap=True)


def _chosen(named: NamedJob, prefixes: list[str]) -> set[str]:
    """The ids of the trials that are named by their beginnings. Raises SettingsError, NotFoundError."""
    from orchestrator.study.trained import find_trial_id

    if "" in prefixes:
        raise SettingsError("--trials", "", "is empty, expected the beginning of a trial's id")
    return {find_trial_id(named.store, prefix, named.from_file) for prefix in prefixes}


def _best(named: NamedJob, measure: str | None) -> tuple[str, ...]:
    """The id of the best trial, which is told."""
    from orchestrator.study import load_study
    from orchestrator.study.best import best_trial

    try:
        found = best_trial(load_study(named.store, named.from_file), measure)
    except SettingsError as error:
        raise SettingsError("--measure", error.key, error.problem) from error
    err.print(f"the best trial is {found.trial_id}: {found.measure} {found.value:.4g}", soft_wrap=True)
    return (found.trial_id,)


def _figures(store: Store) -> set[str]:
    from orchestrator.report.figure_files import written_figures

    return written_figures(store)


def _amount(files: Mapping[str, int]) -> str:
    return f"{plural(len(files), 'file')}, {size(sum(files.values()))}"


def _with_progress(work: Callable[[Callable[[int], None]], None], total: int) -> None:
    """Do the work while a terminal shows how many of the files are gone; an interruption says how to go on."""
    gone = 0
    with spinner("removing") as status:

        def advance(count: int) -> None:
            nonlocal gone
            gone = count
            if status is not None:
                status.update(f"removing: {count} of {total}")

        try:
            work(advance)
        except (OrchError, KeyboardInterrupt) as error:
            if isinstance(error, StorageError | KeyboardInterrupt):
                err.print(f"{gone} of {total} files are gone; the same command goes on", soft_wrap=True)
            raise
