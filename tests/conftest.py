"""Shared by all tests: quiet TensorFlow, a prepared `shapes`, networks with seeded weights.

TensorFlow and Keras are imported inside the fixtures: a test of a module that needs neither runs
without them.
"""

import gc
import os
import random
import sys
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.extras import skip_what_is_missing, summary
from tests.processes import started

# Minutes each: they begin first, so that none of them runs alone at the end.
LONGEST = (
    *("test_trunks.py", "test_kills.py", "test_recipes.py", "test_distribution.py"),
    *("test_documents.py", "test_benchmarks.py"),
)


def pytest_addoption(parser):
    parser.addoption(
        "--all-extras",
        action="store_true",
        help="a test whose extra is not installed fails; by default it is skipped",
    )


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.name not in LONGEST)
    skip_what_is_missing(items, config.getoption("all_extras"))


def pytest_collection_finish():
    """Modules, TensorFlow's above all, stay: no search for garbage goes through them again."""
    gc.collect()
    gc.freeze()
    # The defaults have it search every 700 objects; one graph of TensorFlow has hundreds of
    # thousands.
    gc.set_threshold(20_000, 20, 20)


def pytest_terminal_summary(terminalreporter):
    lines = summary(terminalreporter.getreports("skipped"))
    if lines:
        terminalreporter.section("skipped")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory):
    """A folder in which `shapes` is prepared, once for all tests."""
    from fcn_tf.config.schema import DataConfig
    from fcn_tf.data import open_source

    folder = tmp_path_factory.mktemp("tfds")
    open_source(DataConfig(name="shapes", tfds_dir=str(folder)))
    return str(folder)


@pytest.fixture(scope="session")
def few_scenes_dir(tmp_path_factory):
    """As `tfds_dir`, with 40 scenes a split, for runs that only have to run."""
    import tensorflow_datasets as tfds

    import fcn_tf.data  # noqa: F401 (registers the data set)

    folder = tmp_path_factory.mktemp("few")
    config = tfds.download.DownloadConfig(max_examples_per_split=40)
    tfds.builder("shapes", data_dir=folder).download_and_prepare(download_config=config)
    return str(folder)


@pytest.fixture
def few_figures(monkeypatch):
    """Reports without the figures that show a model: tests/evaluation/test_report.py has them."""
    monkeypatch.setattr("fcn_tf.evaluation.report._figures", lambda *given, **options: [])


@pytest.fixture
def run_here(capsys):
    """A command in this process, which has TensorFlow already; it answers as `command` does."""
    from fcn_tf.cli import main

    def run(*arguments):
        arguments = ["train", *arguments] if arguments[0].startswith("--") else [*arguments]
        code = 0
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return run


@pytest.fixture(autouse=True)
def fresh_keras(request):
    """Frees the networks of the test before and seeds the next ones."""
    # Keras draws the seeds of its initializers from `random`, in a test that imports it first too.
    random.seed(0)
    np.random.seed(0)
    if keras := sys.modules.get("keras"):
        # Collecting garbage takes a quarter of a second, and only slow tests have large networks.
        is_slow = request.node.get_closest_marker("slow") is not None
        keras.backend.clear_session(free_memory=is_slow)
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def no_process_goes_on():
    """A test that fails leaves no training behind that slows down the next."""
    yield
    while started:
        process = started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()
