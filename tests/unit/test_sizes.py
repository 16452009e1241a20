"""Functions, files and folders that one reader can take in."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("streamer", "engines", "models", "benchmarks", "web")
MOST_BESIDE = 14  # files that a newcomer reads the names of before choosing one
MOST_LINES = 60  # of a function
MOST_ARGUMENTS = 8  # of a function; self is none
MOST_OF_A_LOOP = 12  # arguments of a compiled loop, which takes no objects
MOST_OF_A_FILE = 400  # lines

# The command line is read off these signatures: an argument is an option with its help.
COMMANDS = {
    "streamer/cli/avatars.py": {"enroll"},
    "streamer/cli/trust.py": {"consent", "tokens"},
    "streamer/cli/motion.py": {"motion"},
    "streamer/cli/present.py": {"present", "record"},
    "streamer/cli/render.py": {"render"},
    "streamer/cli/serve.py": {"serve"},
    "streamer/cost/command.py": {"tco"},
}
LONG_FUNCTIONS: dict[str, str] = {}
MANY_ARGUMENTS = {
    "streamer/commands/render.py:render_file": "one option of the command each, by name only",
}
LONG_FILES = {
    "benchmarks/quality/motion/motion.py": "one bench, read from top to bottom",
    "models/motion/training/evaluate.py": "the measures of one evaluation, pure functions",
    "streamer/session/session.py": "where everything of a session meets; its parts are apart",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> Iterator[Path]:
    for room in PRODUCT:
        yield from sorted((ROOT / room).rglob("*.py"))


def functions() -> Iterator[tuple[str, str, Function]]:
    """Yield every function with its file, except the commands."""
    for path in sources():
        place = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, Function) and node.name not in COMMANDS.get(place, ()):
                yield place, node.name, node


def is_loop(node: Function) -> bool:
    """Whether numba compiles it."""
    return any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)


def arguments(node: Function) -> int:
    named = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in named if name not in {"self", "cls"}])


def beyond(found: dict[str, int], known: dict[str, str]) -> dict[str, int]:
    """Return what nobody has given a reason for; a reason that is not needed any more is none."""
    assert not set(known) - set(found), "these have become small: take them off the list"
    return {name: size for name, size in found.items() if name not in known}


def test_no_function_is_too_long() -> None:
    found = {
        f"{place}:{name}": lines
        for place, name, node in functions()
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES
    }
    assert not beyond(found, LONG_FUNCTIONS)


@pytest.mark.parametrize(("loop", "most"), [(False, MOST_ARGUMENTS), (True, MOST_OF_A_LOOP)])
def test_no_function_takes_too_much(loop: bool, most: int) -> None:
    found = {
        f"{place}:{name}": arguments(node)
        for place, name, node in functions()
        if is_loop(node) == loop and arguments(node) > most
    }
    assert not beyond(found, {} if loop else MANY_ARGUMENTS)


def test_no_file_is_too_long() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sources()
        if (lines := len(path.read_text("utf-8").splitlines())) > MOST_OF_A_FILE
    }
    assert not beyond(found, LONG_FILES)


def test_no_folder_is_too_large_to_take_in() -> None:
    beside: dict[str, int] = defaultdict(int)
    for room in (*PRODUCT, "tests"):
        for path in (ROOT / room).rglob("*"):
            place = path.relative_to(ROOT)
            ours = path.name != "__init__.py" and "node_modules" not in place.parts
            if ours and path.suffix in {".py", ".js"}:
                beside[str(place.parent)] += 1
    assert not {folder: count for folder, count in beside.items() if count > MOST_BESIDE}


def test_the_measures_see_what_they_count() -> None:
    """Proof that they can fail."""
    text = "@njit(cache=True)\ndef loop(a, b): ...\nclass C:\n    def f(self, a, *, b): ...\n"
    loop, method = (n for n in ast.walk(ast.parse(text)) if isinstance(n, Function))
    assert is_loop(loop) and not is_loop(method)
    assert arguments(loop) == arguments(method) == 2
    with pytest.raises(AssertionError):
        beyond({}, {"gone.py": "was long"})
