import numpy as np
import pytest
from PIL import Image

from fcn_tf.data.pairs import Pair, size_problem


@pytest.mark.parametrize("height_px", [4, 5, 6])
def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path, height_px):
    pair = Pair(tmp_path / "a.jpg", tmp_path / "m.png")
    image, mask = (Image.fromarray(np.zeros((h, 7), np.uint8)) for h in (5, height_px))
    text = f"{pair.mask}: {height_px}x7 px, but a.jpg is 5x7 px (height x width)"
    if height_px == 5:
        assert size_problem(pair, image, mask) is None
    else:
        assert size_problem(pair, image, mask).startswith(text)
