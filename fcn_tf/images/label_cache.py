"""Keeps the labels of large masks that Pillow decodes, compressed, so that each is decoded once.

Pillow takes some four times as long for a mask in colour as TensorFlow for a grey one. Labels are
mostly equal to their neighbours: those of 24 megapixels take 0.1 to 1 MB.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LARGE_PIXELS = 1_000_000  # smaller masks are decoded each time
MAX_BYTES = 64_000_000  # no more is kept


class LabelCache:
    """The labels of mask files, by what the files hold.

    Args:
        large_pixels: the smallest mask that is kept, in px.
        max_bytes: how much is kept, compressed. What comes later is decoded each time.
    """

    def __init__(self, large_pixels: int = LARGE_PIXELS, max_bytes: int = MAX_BYTES) -> None:
        self._large_pixels = large_pixels
        self._bytes_left = max_bytes
        self._kept: dict[bytes, tuple[tuple[int, ...], bytes]] = {}

    def labels(self, contents: bytes, decode: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The labels of a file, decoded or from before.

        Args:
            contents: of the file.
            decode: gives the labels, uint8 of any shape.
        """
        key = hashlib.blake2b(contents, digest_size=16).digest()
        if kept := self._kept.get(key):
            shape, packed = kept
            size = int(np.prod(shape))
            return np.frombuffer(zlib.decompress(packed, bufsize=size), np.uint8).reshape(shape)
        labels = decode()
        if labels.size >= self._large_pixels and self._bytes_left > 0:
            packed = zlib.compress(labels.tobytes(), 1)
            if len(packed) <= self._bytes_left:
                self._bytes_left -= len(packed)
                self._kept[key] = labels.shape, packed
        return labels
