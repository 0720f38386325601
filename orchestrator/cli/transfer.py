"""copy: a job from one storage to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import err, out, spinner
from orchestrator.cli.hold import free_of_runs, held
from orchestrator.cli.options import JobName, NamedJob, TakeOver, name_job
from orchestrator.errors import SettingsError, StorageError
from orchestrator.state.copies import Progress
from orchestrator.text import plural, size

if TYPE_CHECKING:
    from orchestrator.store.location import Store


def copy(
    job: JobName,
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The storage that has it: a folder or s3://bucket/prefix.")
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="The storage to copy it to.")],
    take_over: TakeOver = False,
) -> None:
    """Copy a job to another storage, each way between folders and buckets, and read every file back.

    What is interrupted is gone on with by the same command; until it is whole, the copy is no job that could be run. It
    never goes onto another job, and is refused while a run of the job is at work. Files that orch has not written are
    left out; the classifiers of the storage go along.

    Examples: `orch copy quickstart results s3://bucket/studies` · `orch copy quickstart s3://bucket/studies results` ·
    `orch copy my_sweep s3://bucket/studies s3://other/studies`
    """
    from orchestrator.state.copies import check_target, refuse_unfinished

    named = name_job(job, source)
    there = NamedJob(named.name, _target(named, target))
    named.require()
    refuse_unfinished(named.store)
    before = check_target(named.store, there.store)
    free_of_runs(named, take_over=take_over)
    previous = free_of_runs(there, take_over=take_over)
    if before.done:
        err.print(f"going on: {plural(before.done, 'file')} are there already", soft_wrap=True)
    with held(there.store, previous) as guarded:
        copied = _copy(named, there, guarded)
    out.print(f"copied {named.name} to {there.store.uri}: {_amount(copied)}", soft_wrap=True)


def _target(named: NamedJob, uri: str) -> Store:
    """The storage to copy to. Raises StorageError, SettingsError."""
    from orchestrator.state.files import has_job
    from orchestrator.store.local import LocalStore
    from orchestrator.store.open import open_store

    root = open_store(uri)
    if _place(root) == _place(named.root):
        raise SettingsError("TO", "", f"{root.uri} is the same storage as FROM, expected another one")
    if has_job(root):
        raise SettingsError("TO", "", f"{root.uri} is a job's own folder, expected a storage, such as the one above it")
    if isinstance(root, LocalStore):
        root.child(named.name).check_place()
    return root


def _place(root: Store) -> str:
    return root.uri if root.uri.startswith("s3://") else str(Path(root.uri).resolve())


def _copy(named: NamedJob, there: NamedJob, guarded: Store) -> Progress:
    """Copy the classifiers of the storage, then the job; a terminal shows how far it is."""
    from orchestrator.report.figure_files import written_figures
    from orchestrator.state.copies import copy_classifiers, copy_job, files_to_copy
    from orchestrator.state.layout import is_ours

    source = named.store
    figures = written_figures(source)
    files = files_to_copy(source, figures)
    total = Progress(len(files), sum(files.values()))
    others = [key for key in source.sizes() if not is_ours(key) and key not in figures]
    if others:
        left = f"{plural(len(others), 'file')} that orch has not written, such as {others[0]}"
        err.print(f"left out: {left}", soft_wrap=True)
    with spinner("copying") as status:

        def advance(done: Progress) -> None:
            if status is not None:
                status.update(f"copying: {_amount(done)} of {_amount(total)} are there")

        try:
            copy_classifiers(named.root, there.root)
            return copy_job(source, guarded, figures, advance)
        except (StorageError, KeyboardInterrupt):
            err.print("the copy is not whole; the same command goes on with it", soft_wrap=True)
            raise


def _amount(progress: Progress) -> str:
    return f"{plural(progress.files, 'file')}, {size(progress.size)}"
