"""The process in which an artefact runs, and what is refused of its answers."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.errors import RunError
from fcn_tf.exporting.formats import FORMATS, Bar, Format, Kind
from fcn_tf.exporting.run_artefact import growth_bytes
from fcn_tf.exporting.verify import Reference
from fcn_tf.models.unpooling import PoolingIndices
from tests.networks import narrow_fcn, random_images

NUMBERS = itertools.count()  # a module is imported once by its name
SIZE_PX = (48, 64)
BAR = Bar(largest_difference=None, same_label=0.9, margin=1e-3)
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
ANSWERS_LABELS = """
def run(artefact):
    import numpy as np

    return lambda image: {"labels": np.load(artefact)}
"""
TAKES_100_BYTES_A_PIXEL = """
def run(artefact):
    from pathlib import Path

    import numpy as np

    def answer(image):
        Path(artefact + ".shape").write_text(str(image.shape))
        taken = np.ones(100 * image.size // 3, np.uint8)
        return {"scores": np.load(artefact) + 0 * taken[0]}

    return answer
"""
IMPORTS_THE_PACKAGE = """
def run(artefact):
    import numpy as np

    import fcn_tf

    return lambda image: {"scores": np.load(artefact)}
"""


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """A function from the text of a format to what is found of an artefact, an array.

    The array is what `changed` makes of the model's own scores of the last image, by default
    these. No difference of a score is too large.
    """
    monkeypatch.syspath_prepend(tmp_path)
    network, noise = narrow_fcn("fcn32s", 3), random_images(*SIZE_PX, 3)

    def compare(
        text,
        changed=np.copy,
        mask=None,
        bar=BAR,
        max_pixels=None,
        model=network,
        images=(noise,),
        remedy="",
        **format,
    ):
        name = f"format_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        artefact = tmp_path / "scores.npy"
        samples = [(image, mask) for image in images]
        with Reference(model, samples, SIZE_PX) as reference:
            with np.load(reference.folder / "reference.npz") as arrays:
                scores = arrays[arrays.files[-1]]
            np.save(artefact, changed(scores))
            kinds = {"float32": Kind(bar=bar, remedy=remedy)}
            array = Format(title="array", module=name, kinds=kinds, **format)
            found = reference.compare(artefact, array, "float32", max_pixels)
        assert not reference.folder.exists()
        return found

    return compare


def first_is(value):
    """A function that replaces the first score."""

    def changed(scores):
        scores = scores.copy()
        scores[0, 0, 0] = value
        return scores

    return changed


def test_the_largest_difference_is_found(compared):
    found = compared(READS_AN_ARRAY)
    assert found["largest_difference"] == 0
    assert found["same_label"] == 1
    assert found["images"] == 1
    assert "bytes_per_pixel" not in found
    assert compared(READS_AN_ARRAY, first_is(5))["largest_difference"] > 4


def test_the_largest_difference_and_logit_are_those_of_all_images(compared):
    """The artefact has the scores of the last image, whose logits are the smaller ones."""
    model = narrow_fcn("fcn32s", 3)

    def logits(image):
        return model(image[None], training=False).numpy()[0]

    images = [random_images(*SIZE_PX, 3, seed=seed) // (1 + seed) for seed in range(2)]
    images.sort(key=lambda image: -np.abs(logits(image)).max())
    larger, smaller = map(logits, images)
    found = compared(READS_AN_ARRAY, images=images, bar=replace(BAR, same_label=0.0, margin=0.0))
    exponents = np.exp([larger, smaller])
    scores = exponents / exponents.sum(-1, keepdims=True)
    difference = np.abs(scores[0] - scores[1]).max()
    assert found["largest_difference"] == pytest.approx(difference, rel=1e-3)
    least = 1e-6 * np.abs(larger).max()
    assert least > 1.01e-6 * np.abs(smaller).max()
    assert found["margin_of_best_scores"] == pytest.approx(least, rel=1e-4)
    assert found["images"] == 2


def test_large_logits_leave_room_for_rounding(compared):
    """A score of a network is known to a millionth of its largest logit, and not to 1e-5."""
    model = narrow_fcn("fcn32s", 3, width=1 / 64, head_units=4)
    bias = model.get_layer("score_fr").bias
    bias.assign(bias + 3000)
    image = random_images(*SIZE_PX, 3)
    allowed = 1e-6 * np.abs(model(image[None], training=False)).max()

    def found_of(moved_by):
        """What is found of an artefact whose first logit is a little larger."""

        def changed(scores):
            factors = scores * np.exp([moved_by, 0, 0], dtype=np.float32)
            return factors / factors.sum(-1, keepdims=True)

        bar = FORMATS["saved_model"].kinds["float32"].bar
        return compared(READS_AN_ARRAY, changed, bar=bar, model=model)

    found = found_of(0.004)
    assert found["largest_difference_allowed"] == pytest.approx(allowed, rel=1e-4)
    assert found["margin_of_best_scores"] == pytest.approx(allowed, rel=1e-4)
    assert 1e-5 < found["largest_difference"] < allowed
    with pytest.raises(RunError, match=r"differs by .*, and 0\.003 is allowed"):
        found_of(0.1)


@pytest.mark.parametrize(("own", "allowed"), [(1e-6, 1e-5), (7e-6, 2.8e-5), (1e-3, 1e-4)])
def test_a_network_that_rounds_more_is_allowed_more(compared, own, allowed):
    """Four times what it differs from itself, run a layer at a time; 1e-4 at most."""

    class Rounds:
        num_classes, layers = 3, ()

        def __call__(self, image, training):
            logits = tf.zeros((1, *SIZE_PX, 3))
            # Of three equal scores, one grows by 2/9 of what is added to its logit.
            return tf.add(logits, [own * 4.5 * tf.executing_eagerly(), 0, 0])

    bar = replace(FORMATS["saved_model"].kinds["float32"].bar, same_label=0.0)
    with pytest.raises(RunError, match=f"and {allowed:.2g} is allowed"):
        compared(READS_AN_ARRAY, first_is(5), bar=bar, model=Rounds())


@pytest.mark.parametrize(("kind", "required"), [("float32", 0.999), ("bfloat16", 0.97)])
def test_of_a_network_that_unpools_the_labels_decide(compared, kind, required):
    """Those of pixels whose best scores differ by more than 0.01; the difference is reported."""

    class Unpools:
        num_classes, layers = 3, (PoolingIndices(),)

        def __call__(self, image, training):
            rows = tf.reshape([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]] * (SIZE_PX[0] // 2), (1, -1, 1, 3))
            return tf.tile(rows, (1, 1, SIZE_PX[1], 1))

    def changed(scores, decided, pixels=1):
        scores = scores.copy()
        scores[int(decided), :pixels] = 0, 1, 0  # one row of two is not decided
        return scores

    given = {"bar": FORMATS["saved_model"].kinds[kind].bar, "model": Unpools()}
    found = compared(READS_AN_ARRAY, lambda scores: changed(scores, decided=False), **given)
    assert found["largest_difference"] == pytest.approx(2 / 3)
    assert found["largest_difference_allowed"] is None
    assert (found["margin_of_best_scores"], found["same_label"]) == (0.01, 1)
    assert found["same_label_required"] == pytest.approx(required)
    pixels = 1 + int((1 - required) * SIZE_PX[0] * SIZE_PX[1] / 2)
    assert compared(READS_AN_ARRAY, lambda scores: changed(scores, True, pixels - 1), **given)
    with pytest.raises(RunError, match="of the decided pixels have the same label"):
        compared(READS_AN_ARRAY, lambda scores: changed(scores, True, pixels), **given)


def test_a_score_that_is_no_number_is_refused(compared):
    with pytest.raises(RunError, match="float32 array file is refused: a score is not a number"):
        compared(READS_AN_ARRAY, first_is(np.nan))


def decided_by(scores, margin):
    """The pixels of (H, W, C) whose two best scores differ by more."""
    best = np.sort(scores, axis=-1)
    return best[..., -1] - best[..., -2] > margin


def test_only_decided_pixels_have_to_have_the_same_label(compared):
    """Of the decided ones 30 answer another class; of the others those in every second row."""
    margin, counted = 0.2, []

    def changed(scores):
        is_decided = decided_by(scores, margin)
        places = np.argwhere(is_decided)
        counted.append(len(places))
        wrong = ~is_decided
        wrong[::2] = False
        wrong[tuple(places[:30].T)] = True
        assert wrong.sum() > 60
        assert (~is_decided & ~wrong).sum() > 30
        # The least score goes to where the best was, and all classes move on by one.
        return np.where(wrong[..., None], np.roll(scores, 1, axis=-1), scores)

    found = compared(READS_AN_ARRAY, changed, bar=replace(BAR, margin=margin))
    assert found["same_label"] == pytest.approx(1 - 30 / counted[0], abs=1e-9)
    assert found["same_label_required"] == 0.9
    assert found["margin_of_best_scores"] == margin


def test_too_few_decided_pixels_with_the_same_label_are_refused(compared):
    counted = []

    def changed(scores):
        labels = scores.argmax(-1).astype(np.uint8)
        places = np.argwhere(decided_by(scores, 1e-3))
        counted.append(len(places))
        for row, column in places[: len(places) // 8]:
            labels[row, column] = (labels[row, column] + 1) % 3
        return labels

    with pytest.raises(RunError, match="float32 array file is refused") as refused:
        compared(ANSWERS_LABELS, changed, remedy="Do this.")
    share = 100 * (1 - counted[0] // 8 / counted[0])
    said = f": {share:.4g} % of the decided pixels have the same label, and 90 % are required."
    assert str(refused.value).endswith(f"{said} It was not published. Do this.")


def test_the_mean_iou_is_the_artefacts_and_beside_it_that_of_the_model(compared):
    """The truth is the model's own answer, but for VOID; the artefact always says 2."""
    image = random_images(*SIZE_PX, 3)
    mask = narrow_fcn("fcn32s", 3)(image[None], training=False).numpy().argmax(-1)[0]
    mask = mask.astype(np.uint8)
    mask[:, :5] = VOID
    occurs = [np.sum(mask == label) for label in range(3)]
    found = compared(
        ANSWERS_LABELS, lambda scores: np.full(SIZE_PX, 2), mask, replace(BAR, same_label=0.0)
    )
    expected = occurs[2] / sum(occurs) / np.count_nonzero(occurs)
    assert 0 < expected < 1
    assert found["mean_iou"] == pytest.approx(expected)
    assert found["reference_mean_iou"] == 1
    assert found["largest_difference"] is None


def test_a_mask_keeps_its_labels_when_it_is_brought_to_a_size(compared):
    """Interpolated, there were class 1 between 0 and 2."""
    mask = np.zeros((2 * SIZE_PX[0], 2 * SIZE_PX[1]), np.uint8)
    mask[:, 63:] = 2
    found = compared(
        ANSWERS_LABELS, lambda scores: mask[1::2, 1::2], mask, replace(BAR, same_label=0.0)
    )
    assert found["mean_iou"] == 1


def test_memory_is_measured_on_the_largest_image_of_a_call(compared, tmp_path):
    """By default on a megapixel; never on more than the artefact takes."""
    found = compared(TAKES_100_BYTES_A_PIXEL, measures_memory=True, max_pixels=4_000_000)
    assert (tmp_path / "scores.npy.shape").read_text() == "(1000, 1000, 3)"
    assert 95 <= found["bytes_per_pixel"] <= 130
    compared(TAKES_100_BYTES_A_PIXEL, measures_memory=True, max_pixels=2600)
    assert (tmp_path / "scores.npy.shape").read_text() == "(50, 50, 3)"
    found = compared(TAKES_100_BYTES_A_PIXEL, max_pixels=2600)
    assert "bytes_per_pixel" not in found
    assert (tmp_path / "scores.npy.shape").read_text() == "(48, 64, 3)"


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
