"""What every section of a job file is made of, and how its kinds are found."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from inspect import isabstract
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, Union

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from types import ModuleType


TAGS = ("kind", "name")
"""Fields that tell kinds apart. A path that ends in one says no more than it does without."""


class Settings(BaseModel):
    """A frozen, strictly typed section of a job file; the section also computes what it stands for.

    ``places`` names fields that say where something is, not what it is: they do not enter a trial's id. ``idle`` names
    fields that change no result, but what a run costs or keeps beside it: in ids their defaults stand for them.
    ``later`` names fields that ids did not know at first, whose defaults change nothing: they enter a trial's id only
    where they have another value, so that older trials keep their ids.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    places: ClassVar[frozenset[str]] = frozenset()
    idle: ClassVar[frozenset[str]] = frozenset()
    later: ClassVar[frozenset[str]] = frozenset()

    def canonical(self) -> Self:
        """The same settings with the default in every idle field, also of sections within: equal for equal results."""
        fields = type(self).model_fields
        values = {name: _canonical(getattr(self, name)) for name in fields}
        return self.model_copy(update=values | {name: fields[name].default for name in self.idle})


def _canonical(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.canonical()
    return tuple(map(_canonical, value)) if isinstance(value, tuple) else value


def union_of_kinds(package: ModuleType, base: type[Settings], tag: str) -> Any:
    """The tagged union of ``kinds_in`` the package."""
    kinds = kinds_in(package, base, tag)
    if len(kinds) == 1:
        return kinds[0]
    return Annotated[Union[tuple(kinds)], Field(discriminator=tag)]  # noqa: UP007 - built at run time


def kinds_in(package: ModuleType, base: type[Settings], tag: str) -> list[type[Any]]:
    """All subclasses of ``base`` in the modules of ``package``.

    Dropping a file into the package, or a folder with a file ``settings.py``, adds its kind: nothing else has to be
    edited. ``tag`` is the field whose
    literal value tells the kinds apart.
    """
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("_"):
            continue  # holds no kind, and may import torch, which settings must not
        name = f"{package.__name__}.{module.name}"
        if not module.ispkg:
            importlib.import_module(name)
        elif importlib.util.find_spec(f"{name}.settings"):  # without, the folder holds what several kinds share
            importlib.import_module(f"{name}.settings")
    kinds = sorted(
        (
            kind
            for kind in _leaves(base)
            if tag in kind.model_fields and kind.__module__.startswith(package.__name__) and not isabstract(kind)
        ),
        key=lambda kind: kind.__name__,
    )
    assert kinds, f"no kinds of {base.__name__} in {package.__name__}"
    return kinds


def _leaves(base: type[Settings]) -> list[type[Settings]]:
    children = base.__subclasses__()
    if not children:
        return [base]
    return [leaf for child in children for leaf in _leaves(child)]
