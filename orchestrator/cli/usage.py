"""Reports mistakes in a command in one line, as all other mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from orchestrator.errors import SettingsError
from orchestrator.spec.messages import did_you_mean, nearest, show
from orchestrator.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

Mistake: type[Exception] = typer.BadParameter.__bases__[0]
"""The base class of the errors of Typer's parser; Typer exports its subclasses only."""


class Commands(TyperGroup):
    """The commands of ``orch``; the error of an unknown one names the nearest."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See TyperGroup. Raises SettingsError."""
        unknown = args and args[0] not in self.commands and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:  # which is for a shell that completes
            raise SettingsError(ctx.command_path, "", f"got {show(args[0])}; {did_you_mean(args[0], [*self.commands])}")
        return super().resolve_command(ctx, args)


class Command(TyperCommand):
    """One command; the error of a surplus argument names those that it takes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See TyperCommand. Raises SettingsError."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            names = [str(param.metavar or param.name) for param in self.params if param.param_type_name == "argument"]
            expected = f"nothing after {' '.join(names)}" if names else "no argument"
            raise SettingsError(ctx.command_path, "", f"got {show(rest[0])}, expected {expected}{_help(ctx)}")
        return rest


def explain(mistake: Any) -> str:
    """An error of Typer's parser as ``place: got value, expected what is allowed``."""
    context = mistake.ctx
    place, name = context.command_path if context else "orch", getattr(mistake, "option_name", None)
    if hasattr(mistake, "possibilities") and name:
        options = [option for param in context.command.params for option in param.opts if option.startswith("--")]
        near = nearest(name, options)
        hint = f"; did you mean {near}? see '{place} --help'" if near else _help(context)
        return f"{place}: there is no option {name}{hint}"
    if name:  # an option without its value, or a flag with one
        takes = "takes no value" if "not take" in mistake.message else "expected a value after it"
        return f"{name}: {takes}{_help(context)}"
    parameter = getattr(mistake, "param", None)
    if parameter is None:
        return f"{place}: {_plain(mistake.message)}{_help(context)}"
    name = max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.metavar
    if not mistake.message:
        return f"{place}: {name} is missing, expected {_plain(parameter.help)}{_help(context)}"
    return f"{name}: {_plain(mistake.message)}{_help(context)}"


def refuse_beside(name: str, *options: tuple[str, Any]) -> None:
    """Raise SettingsError where one of the options (name, value) is set, since it has no effect with ``name``."""
    for other, value in options:
        if _is_set(value):
            raise SettingsError(other, "", f"has no effect with {name}; leave one of them out")


def refuse_together(*options: tuple[str, Any]) -> None:
    """Raise SettingsError where two of the options (name, value) are set, which exclude each other."""
    present = [option for option in options if _is_set(option[1])]
    if present:
        refuse_beside(present[0][0], *present[1:])


def refuse_without(needed: tuple[str, Any], *options: tuple[str, Any]) -> None:
    """Raise SettingsError where one of the options (name, value) is set without ``needed``."""
    for name, value in options:
        if _is_set(value) and not _is_set(needed[1]):
            raise SettingsError(name, "", f"has no effect without {needed[0]}")


def one_of(option: str, value: str | None, allowed: Sequence[str]) -> Any:
    """``value``, which is one of those that an option takes. Raises SettingsError."""
    if value not in allowed:
        got = "is missing" if value is None else f"got {show(value)}"
        raise SettingsError(option, "", f"{got}, expected {listing(allowed, 'or')}")
    return value


def _is_set(value: Any) -> bool:
    return value is not None and value is not False and value != []


def line_count(text: str) -> int:
    """The value of --lines. Raises SettingsError."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise SettingsError("--lines", "", f"got {show(text)}, expected a whole number >= 0")
    return int(text)


def _help(context: Any) -> str:
    return f"; see '{context.command_path} --help'" if context else ""


def _plain(sentence: str) -> str:
    """A sentence as part of another: its first letter in lower case, without its full stop."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")
