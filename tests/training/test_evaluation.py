"""An evaluation in tiles counts what the whole image counts."""

import keras
import numpy as np
import pytest

from fcn_tf.training import evaluation
from tests.training.small import small_run
from tests.training.tiled import SIZES, TILES, Noting, counted, network


def global_network():
    """A network whose every label depends on the whole image: no margin is enough."""
    image = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(image)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    return keras.Model(image, keras.layers.Conv2D(3, 1)(keras.layers.Subtract()([x, mean])))


@pytest.mark.parametrize("squared", [False, True])
def test_tiles_count_what_the_whole_image_counts(monkeypatch, squared):
    run = small_run(squared=squared)
    run.model = Noting(network())
    whole = counted(run)
    assert set(run.model.fed) == set(SIZES)
    run.model.fed.clear()
    for name, value in TILES.items():
        monkeypatch.setattr(evaluation, name, value)
    tiles = counted(run)
    # A tile of 32 px with a margin of 32 px around it, cut at the borders of the image.
    heights, widths = (set(sides) for sides in zip(*run.model.fed, strict=True))
    assert heights == {33, 38, 64, 70}
    assert max(widths) == 96
    assert len(run.model.fed) == (1 + squared) * (3 * 5 + 1 + 2 * 5)
    np.testing.assert_array_equal(tiles[0], whole[0])
    assert (tiles[0].sum(axis=0) > 0).all()
    assert (tiles[1], tiles[2], whole[2]) == (pytest.approx(whole[1], rel=1e-6), 2, 2)


def test_a_network_that_sees_the_whole_image_gets_it_whole(monkeypatch):
    run = small_run()
    run.model = Noting(global_network())
    monkeypatch.setattr(evaluation, "WHOLE_PIXELS", 0)
    counted(run)
    assert run.model.fed == SIZES
