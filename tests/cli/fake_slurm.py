"""Slurm's commands as scripts, which answer what a test tells them to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FAKE = """\
#!/bin/sh
# Answers as the test has it, one answer after another; the last one stays.
here={folder}/{name}
asked="$*"
echo "$asked" >>"$here.asked"
[ {name} = sbatch ] && cat >"$here.script"
[ -e "$here.$1.answer.0" ] || [ -e "$here.$1.used" ] && here="$here.$1"
set -- "$here".answer.*
cat "$1"
[ $# = 1 ] || mv "$1" "$here.used"
{does}
"""
FAILS = """\
#!/bin/sh
cat >/dev/null
printf '%s\\n' {text} >&2
exit 1
"""


@dataclass
class Fake:
    """Slurm's commands as scripts, which answer what a test tells them to."""

    folder: Path

    def answers(self, name: str, *texts: str, to: str = "", does: str = "", error: str | None = None) -> None:
        """Have a command print these texts, call after call, ``to`` a first argument, and run shell code after it.

        With ``error`` it fails with that on stderr.
        """
        path = self.folder / name
        for number, text in enumerate(texts):
            (self.folder / f"{name}{to and f'.{to}'}.answer.{number}").write_text(text)
        fails = FAILS.format(text=shlex.quote(error or ""))
        path.write_text(FAKE.format(folder=self.folder, name=name, does=does) if error is None else fails)
        path.chmod(0o755)

    def asked(self, name: str) -> list[str]:
        """The arguments of each call of a command."""
        path = self.folder / f"{name}.asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def script(self) -> str:
        """The script that sbatch got."""
        return (self.folder / "sbatch.script").read_text()


def shown(
    folder: Path, state: str, *, reason: str = "None", code: int = 0, restarts: int = 0, nodes: str = "(null)"
) -> str:
    """What ``scontrol show job`` prints."""
    return (
        f"JobId=12 JobName=orch-study\n   UserId=me(1000) Priority=1 Account=(null)\n   JobState={state} "
        f"Reason={reason} Dependency=(null)\n   Requeue=1 Restarts={restarts} ExitCode={code}:0\n   NodeList={nodes}\n"
        f"   StdOut={folder}/results/_slurm/12.out\n   Power=\n"
    )
