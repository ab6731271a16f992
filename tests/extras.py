"""Tests that need an extra of the package, such as `maps`: skipped without, and named at the end.

    @needs_extra("maps", "rasterio")
    def test_large_tiff(): ...

`pytest --all-extras -m extra` runs these tests alone and skips none of them but those of `APART`.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable

import pytest


def needs_extra(extra: str, *modules: str) -> pytest.MarkDecorator:
    """The mark of a test that needs an extra of setup.cfg.

    Args:
        extra: the name of the extra.
        *modules: the modules which that extra installs and the test imports. The test is skipped
            where one of them is not installed.
    """
    return pytest.mark.extra(extra, *modules)


# Extras that constraints.txt excludes: .ci/run tests them in environments of their own.
APART = {"beam", "beam-test"}


def skip_what_is_missing(items: Iterable[pytest.Item], all_extras: bool = False) -> None:
    """Gives each test whose extra is not installed a `skip` that says how to install it.

    Args:
        items: the tests.
        all_extras: skip those of `APART` alone.
    """
    for item in items:
        for mark in item.iter_markers("extra"):
            extra, *modules = mark.args
            if all_extras and extra not in APART:
                continue
            if any(importlib.util.find_spec(module) is None for module in modules):
                item.add_marker(pytest.mark.skip(reason=reason(extra)))
                break


def reason(extra: str) -> str:
    """Why a test is skipped: the extra, and the command that installs it."""
    return f"needs the extra {extra}: pip install '.[{extra}]'"


def summary(skipped: Iterable[pytest.TestReport]) -> list[str]:
    """The lines that say which tests were skipped, and why: each reason once.

    Args:
        skipped: the reports of the skipped tests.
    """
    tests: dict[str, Counter[str]] = {}
    for report in skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        name = report.nodeid.split("[")[0]
        tests.setdefault(why.removeprefix("Skipped: "), Counter())[name] += 1
    lines = []
    for why, names in sorted(tests.items()):
        lines.append(f"{names.total()} skipped: {why}")
        lines += [f"    {name}" + (f" ({n} cases)" if n > 1 else "") for name, n in names.items()]
    return lines
