"""Sizes of files and functions, and what the code never does."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 50
NEVER = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pickle.load",
    "pickle.loads",
    "pickle.dump",
    "pickle.dumps",
    "pickle.Unpickler",
    "pd.read_pickle",
    "pandas.read_pickle",
    "tempfile.mktemp",
    "torch.manual_seed",
    "np.random.seed",
    "random.seed",
}
NEVER_IMPORTED = {"cloudpickle", "dill", "joblib", "shelve", "marshal"}


def calls(module: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def forbidden(module: ast.Module) -> list[str]:
    """Every forbidden thing in a file, with its line."""
    found = []
    for name, call in calls(module):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        wrong = (
            name in NEVER
            or (name == "torch.load" and options.get("weights_only") != "True")
            or (name.endswith("np.load") and "allow_pickle" in options)
            or options.get("shell") == "True"
        )
        if wrong:
            found.append(f"line {call.lineno}: {name}")
    for node in ast.walk(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        found += [f"line {node.lineno}: {name}" for name in names if name.split(".")[0] in NEVER_IMPORTED | {"pickle."}]
        found += [f"line {node.lineno}: {name}" for name in names if name in NEVER]
    return found


def silent(module: ast.Module) -> list[str]:
    """Handlers of any exception, or that do nothing at all, and broad exceptions that are suppressed."""
    found = [
        f"line {node.lineno}: except"
        for node in ast.walk(module)
        if isinstance(node, ast.ExceptHandler) and (node.type is None or all(map(does_nothing, node.body)))
    ]
    return found + [
        f"line {call.lineno}: suppress"
        for name, call in calls(module)
        if name.split(".")[-1] == "suppress"
        and {ast.unparse(argument) for argument in call.args} & {"Exception", "BaseException", "OSError"}
    ]


def does_nothing(line: ast.stmt) -> bool:
    """Whether a line is ``pass``, ``...`` or a bare string."""
    return isinstance(line, ast.Pass) or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))


def of_package(modules: dict[str, ast.Module]) -> dict[str, ast.Module]:
    return {name: module for name, module in modules.items() if name.startswith("orchestrator/")}


def long_functions(module: ast.Module) -> list[str]:
    return [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= FUNCTION_LINES
    ]


def undocumented(module: ast.Module) -> list[str]:
    """The module, and its public classes and functions, as far as they lack a docstring."""
    public = [
        node
        for node in module.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]
    return [getattr(node, "name", "the module") for node in (module, *public) if not ast.get_docstring(node)]


def test_no_file_is_long(root: Path, modules: dict[str, ast.Module]) -> None:
    lines = {name: len((root / name).read_text().splitlines()) for name in modules}
    assert {name: count for name, count in lines.items() if count >= FILE_LINES} == {}


def test_no_function_is_long(modules: dict[str, ast.Module]) -> None:
    assert {name: found for name, module in modules.items() if (found := long_functions(module))} == {}


def test_nothing_forbidden_is_done(modules: dict[str, ast.Module]) -> None:
    assert {name: found for name, module in of_package(modules).items() if (found := forbidden(module))} == {}


def test_no_error_is_swallowed(modules: dict[str, ast.Module]) -> None:
    assert {name: found for name, module in of_package(modules).items() if (found := silent(module))} == {}


def test_everything_public_says_what_it_is(modules: dict[str, ast.Module]) -> None:
    assert {name: found for name, module in of_package(modules).items() if (found := undocumented(module))} == {}


def test_tests_of_faults_are_where_make_looks_for_them(root: Path, modules: dict[str, ast.Module]) -> None:
    assert "$(TEST) tests/ray -m faults" in (root / "Makefile").read_text()
    marked = {
        name
        for name, module in modules.items()
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.faults"
    }
    assert marked
    assert all(name.startswith("tests/ray/") for name in marked), marked


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "yaml.load(text)",
        "pickle.loads(data)",
        "from pickle import loads",
        "import cloudpickle",
        "from cloudpickle import dumps",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "subprocess.run('ls', shell=True)",
    ],
)
def test_the_guard_sees_what_is_forbidden(code: str) -> None:
    assert len(forbidden(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    f()\nexcept:\n    g()",
        "try:\n    f()\nexcept ValueError:\n    pass",
        "try:\n    f()\nexcept ValueError:\n    ...",
        "with suppress(OSError):\n    f()",
        "with contextlib.suppress(ValueError, Exception):\n    f()",
    ],
)
def test_the_guard_sees_what_is_swallowed(code: str) -> None:
    assert len(silent(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path, weights_only=True)",
        "yaml.safe_load(text)",
        "try:\n    f()\nexcept pickle.UnpicklingError:\n    return None",
        "model.eval()",
    ],
)
def test_the_guard_lets_the_rest_pass(code: str) -> None:
    assert forbidden(ast.parse(code)) == silent(ast.parse(code)) == []


def test_the_guard_sees_what_is_long_or_undescribed() -> None:
    code = "class A:\n    def f(self):\n" + "        g()\n" * (FUNCTION_LINES - 1) + "def _h():\n    g()\n"
    assert long_functions(ast.parse(code)) == ["f has 50 lines"]
    assert undocumented(ast.parse(code)) == ["the module", "A"]
