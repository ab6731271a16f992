import io

import numpy as np
import pytest
from PIL import Image

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.images.draw import colorize
from fcn_tf.images.figures import heatmap_figure, sample_sheet, shrunk, write_figure

NAMES = ["a", "b$x$", "c"]
PALETTE = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def sample(title, grey, height_px=40, **parts):
    """A labelled image, 60 px wide."""
    return {
        "image": np.full((height_px, 60, 3), (grey, 99, 199), np.uint8),
        "truth": np.full((height_px, 60), 1, np.uint8),
        **parts,
        "title": title,
    }


def test_a_sheet_shows_the_colors_of_truth_and_prediction():
    """Rendered, each colour covers about the share of the sheet that its pixels have."""
    prediction = np.full((40, 60), 2, np.uint8)
    rendered = io.BytesIO()
    samples = [sample("a.png", 9, prediction=prediction)] * 3
    sample_sheet(samples, NAMES, PALETTE).savefig(rendered, dpi=50)
    pixels = np.asarray(Image.open(rendered).convert("RGB")).reshape(-1, 3)
    counts = [np.sum(np.all(pixels == color, axis=1)) for color in ((9, 99, 199), *PALETTE[1:])]
    assert min(counts) > 0.1 * len(pixels)
    assert max(counts) < 1.2 * min(counts)


def artists(figure):
    """The pictures of a sheet with their (left, right, bottom, top), and the texts below them."""
    (axis,) = figure.axes
    pictures = [(np.asarray(image.get_array()), image.get_extent()) for image in axis.images]
    return pictures, [(text.get_text(), *text.get_position()) for text in axis.texts]


def test_a_sheet_puts_each_part_in_its_place_under_its_title():
    """Two samples in a row; the third begins the next row, below the higher of the first two."""
    samples = [sample("a.png", 9), sample("cost $5$.png", 10, height_px=90), sample("c.png", 11)]
    samples[1]["truth"][:5] = VOID
    figure = sample_sheet(samples, NAMES, PALETTE)
    pictures, texts = artists(figure)
    titles = ["a.png", "truth", r"cost \$5\$.png", "truth", "c.png", "truth"]
    assert [text for text, *_ in texts] == titles
    parts = [(s, part) for s in samples for part in ("image", "truth")]
    second_row = 1.5 + 0.04 + 0.14
    for index, ((one, part), (picture, extent), (_, x, y)) in enumerate(
        zip(parts, pictures, texts, strict=True)
    ):
        expected = one["image"] if part == "image" else colorize(one["truth"], PALETTE)
        np.testing.assert_array_equal(picture, expected)
        left, top = 0.04 + index % 4 * 1.04, 0.04 + 0.14 + (index // 4) * second_row
        height = len(expected) / 60
        np.testing.assert_allclose(extent, (left, left + 1, top + height, top))
        np.testing.assert_allclose((x, y), (left + 0.5, top - 0.04))
    # The legend: a line below the second row, which ends at `height`.
    height = 0.04 + second_row + 0.14 + 40 / 60 + 0.04
    np.testing.assert_allclose(figure.get_size_inches() / 1.9, (0.04 + 4 * 1.04, height + 0.2))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", r"b\$x\$", "c", "void"]
    colors = [np.multiply(patch.get_facecolor()[:3], 255) for patch in legend.get_patches()]
    np.testing.assert_allclose(colors, [*PALETTE, VOID_COLOR])


def test_a_sheet_of_one_sample_is_as_wide_as_it():
    """With the legend in one line, of two names below each picture."""
    figure = sample_sheet([sample("a.png", 9)], NAMES, PALETTE)
    height = 0.04 + 0.14 + 40 / 60 + 0.04 + 0.2
    np.testing.assert_allclose(figure.get_size_inches() / 1.9, (0.04 + 2 * 1.04, height))


def test_a_sheet_with_errors_has_a_row_for_each_sample():
    grey = np.full((40, 60, 3), 50, np.uint8)
    samples = [
        sample(title, number, prediction=np.full((40, 60), number), errors=grey)
        for number, title in ((0, "a.png"), (2, "b.png"))
    ]
    pictures, texts = artists(sample_sheet(samples, NAMES, PALETTE))
    for row, title in enumerate(("a.png", "b.png")):
        of_row = slice(4 * row, 4 * row + 4)
        assert [t for t, *_ in texts[of_row]] == [title, "truth", "prediction", "errors"]
        lefts, _, _, tops = zip(*(extent for _, extent in pictures[of_row]), strict=True)
        np.testing.assert_allclose(lefts, [0.04 + 1.04 * column for column in range(4)])
        np.testing.assert_allclose(tops, 0.04 + 0.14 + row * (0.14 + 40 / 60 + 0.04))
        shown = [picture[0, 0].tolist() for picture, _ in pictures[of_row]]
        number = samples[row]["image"][0, 0, 0]
        assert shown == [[number, 99, 199], [0, 250, 0], [*PALETTE[number]], [50, 50, 50]]


def test_a_heat_map_lies_over_its_image(tmp_path):
    image = np.tile(np.arange(60, dtype=np.uint8)[:, None], (40, 1, 3))
    heat = np.array([[0.1, 0.9]])
    figure = heatmap_figure(image, heat, (-2, 66, 44, -4), "dog $1$")
    left, right, bar = figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), image)
    below, above = right.images
    np.testing.assert_array_equal(below.get_array(), image[..., 0])
    np.testing.assert_array_equal(above.get_array(), heat)
    assert above.get_extent() == [-2, 66, 44, -4]
    assert above.get_clim() == (0, 1)
    assert (right.get_xlim(), right.get_ylim()) == ((0, 60), (40, 0))
    assert (left.get_title(), right.get_title()) == ("", r"dog \$1\$")
    assert bar.get_ylabel() == "probability"
    assert bar.get_ylim() == pytest.approx((0, 1))
    write_figure(tmp_path / "deep/heat.png", figure)
    with Image.open(tmp_path / "deep/heat.png") as written:
        assert written.size == (1200, round(120 * (0.6 + 4.6 * 40 / 60)))


def extents(artists):
    """The (left, bottom, right, top) of each artist, in px of its figure."""
    return np.array([artist.get_window_extent().extents for artist in artists])


@pytest.mark.parametrize(("classes", "columns"), [(15, 1), (150, 4)])
def test_every_long_name_of_a_legend_stands_on_the_sheet_by_itself(classes, columns):
    """Of 30 characters each: none beyond a border, on a picture or on another name."""
    names = [f"{number:03} name of 30 characters long" for number in range(classes)]
    figure = sample_sheet([sample("a.png", 9)], names, [(9, 9, 9)] * classes)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    boxes = extents(legend.get_texts())
    assert len(boxes) == classes + 1
    assert len(np.unique(boxes[:, 0].round())) == columns
    width_px, height_px = figure.get_size_inches() * figure.dpi
    assert boxes[:, :2].min() >= 0
    assert boxes[:, 2].max() <= width_px
    (axis,) = figure.axes
    left, right, bottom, _ = axis.images[0].get_extent()
    (left, bottom), (right, _) = axis.transData.transform([(left, bottom), (right, bottom)])
    assert boxes[:, 3].max() < bottom < height_px
    assert right - left == pytest.approx(1.9 * figure.dpi)
    order = boxes[np.lexsort((-boxes[:, 1], boxes[:, 0].round()))]
    below = order[1:, 3] <= order[:-1, 1] + 1
    beside = order[1:, 0] >= order[:-1, 2]
    assert (below | beside).all()


def test_a_long_title_ends_as_it_is_and_begins_with_an_ellipsis():
    title = f"{'folder/' * 12}image_0001.png: 50.0 %"
    figure = sample_sheet([sample(title, 9)], NAMES, PALETTE)
    text = figure.axes[0].texts[0]
    assert text.get_text().startswith("…")
    assert title.endswith(text.get_text()[1:])
    assert 1.6 < text.get_window_extent().width / figure.dpi <= 1.9


def test_large_pictures_are_shrunk_before_they_are_drawn():
    """To 480 px: of labels every second pixel, of images the mean of four."""
    image = np.zeros((100, 960, 3), np.uint8)
    image[::2, ::2] = 200
    truth = np.tile(np.arange(960) % 2 * 5, (100, 1)).astype(np.uint8)
    small = shrunk({"image": image, "truth": truth, "title": "a"})
    np.testing.assert_array_equal(small["image"], np.full((50, 480, 3), 50))
    np.testing.assert_array_equal(small["truth"], np.zeros((50, 480)))
    assert small["title"] == "a"
    tall = shrunk({"image": image.swapaxes(0, 1), "title": "a"})
    assert tall["image"].shape == (480, 50, 3)
