"""Puts faults into the code, one at a time, and prints those that no test finds.

    python tests/mutate.py                           the faults of tests/mutations.toml
    python tests/mutate.py --only flip               those whose entry contains "flip"
    python tests/mutate.py --tool                    what cosmic-ray makes of the pure modules
    python tests/mutate.py --tool --only metrics     … of one of them

Exits with 1 if a fault survives. Faults are put into copies of the checkout, never into the
checkout itself. The first lines of tests/mutations.toml say what its tables hold. It forks, so it
needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests/mutations.toml"
AT_MOST_S = 180  # a loop without an end is found, too
FORK = multiprocessing.get_context("fork")
# Of cosmic-ray: an arithmetic operator is replaced by its opposite alone, and == not by `is`.
LEFT_OUT = re.compile(
    r"core/(ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul"
    r"|BitAnd_BitOr|BitOr_BitAnd)|ReplaceComparisonOperator_(Eq|NotEq|Lt|LtE|Gt|GtE)_Is"
    r"|RemoveDecorator|NoOp)"
)
# Arguments that change no result: `flush` of print and `frozen` of a dataclass.
LEFT_ALONE = ("flush", "frozen")


class Fault(NamedTuple):
    """A file of the checkout with a fault in it.

    Args:
        file: the file, from the root of the checkout.
        text: what it holds with the fault.
        what: what is wrong with it.
        tests: those of which one must fail, as pytest takes them.
    """

    file: str
    text: str
    what: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Mutation:
    """A fault that a person could make: an entry of tests/mutations.toml.

    Args:
        what: what is wrong with it.
        file: the file, from the root of the checkout.
        old: text that the file has once.
        new: what stands there instead.
        test: the quick test that must fail: file::name, or file::name[case].
        keys: the keys of the configuration that this fault breaks.
    """

    what: str
    file: str
    old: str
    new: str
    test: str
    keys: tuple[str, ...] = ()

    def fault(self, root: Path = ROOT) -> Fault:
        """Puts the fault into the file.

        Raises:
            ValueError: the file does not have `old` exactly once.
        """
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times: {self.old}")
        return Fault(self.file, text.replace(self.old, self.new), self.what, (self.test,))


def read_list(path: Path = LIST) -> dict[str, Any]:
    """The tables of tests/mutations.toml; `mutation` is a list of `Mutation`."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    tables["mutation"] = [Mutation(**entry) for entry in tables.get("mutation", ())]
    return tables


def copy_checkout(folder: Path) -> Path:
    """Copies what git does not ignore."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in names.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def run_pytest(copy: Path, tests: Sequence[str], at_most_s: float) -> tuple[str, str]:
    """Runs tests in a copy, in a child of this process, which has imported TensorFlow already.

    Returns:
        "passed", "failed", "too long" or "no test", and the output.
    """
    with tempfile.TemporaryFile() as output:
        child = FORK.Process(target=_in_child, args=(copy, tests, output.fileno()))
        child.start()
        child.join(at_most_s)
        if child.is_alive():
            child.kill()
            child.join()
            return "too long", ""
        output.seek(0)
        text = output.read().decode(errors="replace")
    # 4 and 5 of pytest: no such test. Other codes, and those of a signal, are the fault's doing.
    return {0: "passed", 4: "no test", 5: "no test"}.get(child.exitcode or 0, "failed"), text


def _in_child(copy: Path, tests: Sequence[str], output: int) -> None:
    import pytest

    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = sys.path[0] = str(copy)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # so that none is stale
    sys.dont_write_bytecode = True
    quick = ("-n", "0", "-x", "-q", "--no-header", "--assert=plain", "-p", "no:cacheprovider")
    code = pytest.main([*quick, *tests])
    sys.stdout.flush()
    os._exit(int(code))


def run(faults: Sequence[Fault], jobs: int) -> Iterator[tuple[Fault, str]]:
    """Runs the tests of each fault, first of all without any fault.

    Yields:
        Each fault with the answer of `run_pytest`.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        copies: Queue[Path] = Queue()
        for number in range(jobs):
            copies.put(copy_checkout(Path(folder) / str(number)))

        def answer_to(fault: Fault) -> str:
            copy = copies.get()
            file = copy / fault.file
            original = file.read_text(encoding="utf-8")
            try:
                file.write_text(fault.text, encoding="utf-8")
                answer, output = run_pytest(copy, fault.tests, AT_MOST_S)
                if answer == "no test":
                    print(output[-2000:], flush=True)
                return answer
            finally:
                file.write_text(original, encoding="utf-8")
                copies.put(copy)

        # In the order of their files, so that a file is imported once.
        each = sorted({test for fault in faults for test in fault.tests})
        copy = copies.get()
        answer, output = run_pytest(copy, each, at_most_s=3600)
        copies.put(copy)
        if answer != "passed":
            sys.exit(f"{output}\nThese tests do not pass without any fault.")
        yield from zip(faults, pool.map(answer_to, faults), strict=True)


def faults_of_tool(file: str, tests: Sequence[str]) -> Iterator[Fault]:
    """What cosmic-ray makes of a module, but for wrong syntax and for what changes no result."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    text = (ROOT / file).read_text(encoding="utf-8")
    before = meaning(text)
    for name in operator_names():
        operator = get_operator(name)
        if LEFT_OUT.match(name) or operator.arguments():
            continue
        occurrence = 0
        while mutated := mutate_code(text, operator(), occurrence):
            occurrence += 1
            if meaning(mutated) not in (None, before):
                change = changed_line(text, mutated)
                if not change.startswith("*,"):  # between arguments it multiplies nothing
                    yield Fault(file, mutated, change, tuple(tests))


def meaning(text: str) -> str | None:
    """A module's syntax tree without what changes no result; None where the syntax is wrong."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.Call):
            node.keywords = [word for word in node.keywords if word.arg not in LEFT_ALONE]
    return ast.dump(tree)


def changed_line(old: str, new: str) -> str:
    """The first line that differs, as "before  →  after"."""
    lines = list(difflib.ndiff(old.splitlines(), new.splitlines()))
    before, after = ([x[2:].strip() for x in lines if x.startswith(sign)] for sign in "-+")
    return f"{before[0] if before else ''}  →  {after[0] if after else ''}"


def run_list(mutations: Sequence[Mutation], jobs: int) -> list[str]:
    """Runs hand-made mutations; returns a line for each one that no test finds."""
    survivors = []
    faults = [mutation.fault() for mutation in mutations]
    for number, (fault, answer) in enumerate(run(faults, jobs), start=1):
        print(f"{number}/{len(faults)} {answer}: {fault.what}", flush=True)
        if answer not in ("failed", "too long"):
            survivors.append(f"{fault.file}: {fault.what} ({fault.tests[0]})")
    return survivors


def run_tool(tables: dict[str, Any], only: str, jobs: int) -> list[str]:
    """Runs cosmic-ray's mutations; prints a table, and returns a line for each unknown survivor."""
    modules = [entry for entry in tables["pure"] if only in entry["file"]]
    faults = [fault for entry in modules for fault in faults_of_tool(**entry)]
    known = {(entry["file"], entry["change"]) for entry in tables.get("equivalent", ())}
    made, found, explained = Counter(), Counter(), Counter()
    survivors = []
    for fault, answer in run(faults, jobs):
        made[fault.file] += 1
        if answer != "passed":
            found[fault.file] += 1
        elif (fault.file, fault.what) in known:
            explained[fault.file] += 1
        else:
            survivors.append(f"{fault.file}: {fault.what}")
            print(survivors[-1], flush=True)
    print("\n| module | mutations | found | share | others, explained |\n|---|---|---|---|---|")
    for file, count in made.items():
        share = f"{found[file] / count:.0%}"
        print(f"| {file} | {count} | {found[file]} | {share} | {explained[file]} |")
    share = f"{found.total() / max(1, made.total()):.0%}"
    print(f"| all | {made.total()} | {found.total()} | {share} | {explained.total()} |")
    return survivors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", type=Path, default=LIST, help="another tests/mutations.toml")
    parser.add_argument("--only", default="", help="a part of the text of what is run")
    parser.add_argument("--tool", action="store_true", help="cosmic-ray on the pure modules")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at once")
    arguments = parser.parse_args()
    tables = read_list(arguments.list)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: F401 (each child would import them again)
    import pytest  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    gc.freeze()  # no child looks for garbage in all that they have loaded

    if arguments.tool:
        survivors = run_tool(tables, arguments.only, arguments.jobs)
    else:
        mutations = [m for m in tables["mutation"] if arguments.only in repr(m)]
        survivors = run_list(mutations, arguments.jobs)
    print(f"\n{len(survivors)} survive.", *survivors, sep="\n")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
