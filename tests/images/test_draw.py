import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.images.draw import colorize, error_map, overlay


def test_colorize_by_hand():
    labels = np.array([[0, 1], [VOID, 1]], np.uint8)
    palette = [(1, 2, 3), (4, 5, 6)]
    np.testing.assert_array_equal(
        colorize(labels, palette), [[(1, 2, 3), (4, 5, 6)], [VOID_COLOR, (4, 5, 6)]]
    )


def test_errors_are_red_on_grey_and_what_has_no_label_is_pale():
    """Three pixels of the grey 100: right, wrong, and VOID."""
    image = np.array([[(60, 100, 140)] * 3], np.uint8)
    truth, labels = np.array([[0, 0, VOID]], np.uint8), np.array([[0, 1, 1]], np.uint8)
    expected = [[(60, 60, 60), (35 + 0.65 * 255, 35, 35), (190, 190, 190)]]
    np.testing.assert_array_equal(error_map(image, truth, labels), np.floor(expected))


def test_an_overlay_and_its_legend_by_hand():
    """Of 60 x 100 pixels 4500 are sky and 600 each are road and void; nothing is a car."""
    labels = np.zeros((60, 100), np.uint8)
    labels[45:51], labels[51:57], labels[57:] = 2, VOID, 0
    names, palette = ("sky", "car", "road"), [(0, 0, 200), (200, 0, 0), (200, 100, 0)]
    image = np.full((60, 100, 3), 100, np.uint8)
    drawn = overlay(image, labels, names, palette, opacity=0.25)
    colors = {0: (75, 75, 125), 2: (125, 100, 75), VOID: (131, 131, 123)}
    pixels = np.asarray(drawn)
    for label, color in colors.items():
        assert (pixels[:60][labels == label] == color).all()

    # Each entry takes a line of its own: two of them are wider than the image.
    legend = Image.new("RGB", (100, 5 + 3 * 16 + 5), "white")
    draw, font = ImageDraw.Draw(legend), ImageFont.load_default(10)
    for line, (text, color) in enumerate(
        (("sky 80.0 %", palette[0]), ("road 10.0 %", palette[2]), ("void 10.0 %", VOID_COLOR))
    ):
        y = 5 + 16 * line
        draw.rectangle((5, y, 15, y + 10), fill=color, outline="gray")
        draw.text((21, y + 5), text, "black", font, anchor="lm")
    np.testing.assert_array_equal(pixels[60:], legend)


def test_a_legend_grows_with_the_image_and_fills_its_lines():
    """At 800 px, text of 20 px, lines of 32 px, and gaps of 10 px; both entries in one line."""
    labels = np.zeros((8, 800), np.uint8)
    labels[:, 400:] = 1
    drawn = overlay(np.zeros((8, 800, 3), np.uint8), labels, "ab", [(9, 9, 200), (9, 200, 9)])
    pixels = np.asarray(drawn)
    assert pixels.shape == (8 + 10 + 32 + 10, 800, 3)
    assert pixels[0, [0, -1]].tolist() == [[4, 4, 100], [4, 100, 4]]
    second = 10 + 32 + np.ceil(ImageFont.load_default(20).getlength("a 50.0 %")) + 10 + 10
    for color, left in (((9, 9, 200), 10), ((9, 200, 9), second)):
        _, columns = np.nonzero(np.all(pixels == color, axis=-1))
        assert columns.min() == left + 1  # inside its outline
        assert columns.max() == left + 19


def test_a_name_wider_than_its_image_is_not_cut():
    """The legend of a narrow image is as wide as the name; the image stays at the left."""
    name = "a class with a name of 30 char"
    labels = np.zeros((9, 20), np.uint8)
    drawn = overlay(np.full((9, 20, 3), 90, np.uint8), labels, [name, "b"], [(9, 9, 200)] * 2)
    pixels = np.asarray(drawn)
    text_px = np.ceil(ImageFont.load_default(10).getlength(f"{name} 100.0 %"))
    assert pixels.shape == (9 + 5 + 16 + 5, 5 + 16 + text_px + 5, 3)
    assert (pixels[:9, 20:] == 255).all()
    assert pixels[0, 19].tolist() == [49, 49, 145]
    _, columns = np.nonzero(pixels[9:].max(-1) < 128)
    assert 5 + 16 + text_px - 4 < columns.max() < 5 + 16 + text_px
