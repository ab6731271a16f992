"""The process in which an artefact runs, and what is refused of its answers."""

import itertools
import sys

import numpy as np
import pytest

from fcn_tf.errors import RunError
from fcn_tf.exporting.formats import Bar, Format, Kind
from fcn_tf.exporting.run_artefact import growth_bytes
from fcn_tf.exporting.verify import Reference
from tests.networks import narrow_fcn, random_images

NUMBERS = itertools.count()  # a module is imported once by its name
SIZE_PX = (48, 64)
# The artefact is an array of scores, which is the answer to every image.
READS_AN_ARRAY = """
def run(artefact):
    import numpy as np

    return lambda image: {"scores": np.load(artefact)}
"""
USES_ITS_MODULE = """
import numpy as np


def run(artefact):
    return lambda image: {"scores": np.load(artefact)}
"""
IMPORTS_THE_PACKAGE = """
def run(artefact):
    import numpy as np

    import fcn_tf

    return lambda image: {"scores": np.load(artefact)}
"""


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """A function from the text of a format to what is found of the model's own scores.

    One of them may be replaced first; no difference of a score is too large.
    """
    monkeypatch.syspath_prepend(tmp_path)
    model, image = narrow_fcn("fcn32s", 3), random_images(*SIZE_PX, 3)
    kind = Kind(bar=Bar(largest_difference=None, same_label=0.9, margin=1e-3))

    def compare(text, replaced_by=None):
        name = f"format_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        artefact = tmp_path / "scores.npy"
        with Reference(model, [(image, None)], SIZE_PX) as reference:
            with np.load(reference.folder / "reference.npz") as arrays:
                scores = arrays[arrays.files[0]]
            if replaced_by is not None:
                scores[0, 0, 0] = replaced_by
            np.save(artefact, scores)
            array = Format(title="array", module=name, kinds={"float32": kind})
            return reference.compare(artefact, array, "float32")

    return compare


def test_the_largest_difference_is_found(compared):
    found = compared(READS_AN_ARRAY)
    assert found["largest_difference"] == 0
    assert found["same_label"] == 1
    assert found["images"] == 1
    assert "bytes_per_pixel" not in found
    assert compared(READS_AN_ARRAY, replaced_by=5)["largest_difference"] > 4


def test_a_score_that_is_no_number_is_refused(compared):
    with pytest.raises(RunError, match="float32 array file is refused: a score is not a number"):
        compared(READS_AN_ARRAY, replaced_by=np.nan)


def test_run_has_nothing_but_what_it_imports(compared):
    with pytest.raises(RunError, match="float32 array does not run: NameError: name 'np' is not"):
        compared(USES_ITS_MODULE)


def test_the_package_may_not_be_imported(compared):
    with pytest.raises(RunError, match="float32 array does not run"):
        compared(IMPORTS_THE_PACKAGE)


def test_the_memory_of_a_call():
    grown = growth_bytes(lambda: np.ones(100_000_000, np.uint8).sum())
    assert 95_000_000 < grown < 130_000_000


def test_memory_that_cannot_be_measured_does_not_stop_the_call(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    calls = []
    assert growth_bytes(lambda: calls.append(1)) is None
    assert calls == [1]
