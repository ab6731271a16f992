import io

import numpy as np
from PIL import Image

from fcn_tf.classes import VOID, voc_palette
from fcn_tf.images.draw import VOID_COLOR, colorize
from fcn_tf.images.figures import sample_sheet


def test_voc_palette_has_the_published_colors():
    palette = voc_palette()
    published = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    published |= {20: (0, 64, 128), 255: VOID_COLOR}
    for label, color in published.items():
        assert tuple(palette[label]) == color


def test_colorize_by_hand():
    labels = np.array([[0, 1], [VOID, 1]], np.uint8)
    palette = [(1, 2, 3), (4, 5, 6)]
    np.testing.assert_array_equal(
        colorize(labels, palette), [[(1, 2, 3), (4, 5, 6)], [VOID_COLOR, (4, 5, 6)]]
    )


def test_a_sheet_shows_the_colors_of_truth_and_prediction():
    """Rendered, each colour covers about the share of the sheet that its pixels have."""
    palette = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    sample = {
        "image": np.full((40, 60, 3), (9, 99, 199), np.uint8),
        "truth": np.full((40, 60), 1, np.uint8),
        "prediction": np.full((40, 60), 2, np.uint8),
        "title": "a.png",
    }
    rendered = io.BytesIO()
    sample_sheet([sample] * 3, ["a", "b", "c"], palette).savefig(rendered, dpi=50)
    pixels = np.asarray(Image.open(rendered).convert("RGB")).reshape(-1, 3)
    counts = [np.sum(np.all(pixels == color, axis=1)) for color in ((9, 99, 199), *palette[1:])]
    assert min(counts) > 0.1 * len(pixels)
    assert max(counts) < 1.2 * min(counts)
