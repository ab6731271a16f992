import numpy as np

from fcn_tf.images.label_cache import LabelCache

LABELS = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)


def decodings(cache, *files):
    """How often each file is decoded when they are read one after the other."""
    counts = []
    for number, contents in enumerate(files):

        def decode(number=number):
            counts.append(number)
            return LABELS + number

        first = files.index(contents)
        np.testing.assert_array_equal(cache.labels(contents, decode), LABELS + first)
    return counts


def test_a_file_is_decoded_once():
    assert decodings(LabelCache(large_pixels=6), b"a", b"b", b"a", b"b") == [0, 1]


def test_small_masks_and_what_exceeds_the_limit_are_decoded_each_time():
    assert decodings(LabelCache(large_pixels=7), b"a", b"b") == [0, 1]
    seven = LabelCache(large_pixels=7)
    for _ in range(2):
        assert decodings(seven, b"a") == [0]
    one = LabelCache(large_pixels=6, max_bytes=20)  # two take 28
    assert decodings(one, b"a", b"b") == [0, 1]
    assert decodings(one, b"a") == []
    assert decodings(one, b"b") == [0]
