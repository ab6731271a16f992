"""Image files written by their specifications, because Pillow does not write all kinds."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT_PX, WIDTH_PX = 9, 13
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # colour types of PNG
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def random_bytes(count):
    return np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8).tobytes()


def samples(channels, bits):
    """Random values (H, W, channels), the lowest and the highest among them."""
    rng = np.random.default_rng(100 * channels + bits)
    values = rng.integers(0, 2**bits, (HEIGHT_PX, WIDTH_PX, channels))
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    return values


def palette(bits):
    """Random colours, (2**bits, 3)."""
    return np.frombuffer(random_bytes(3 * 2**bits), np.uint8).reshape(-1, 3)


def exif(orientation):
    """EXIF that holds nothing but an orientation."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)


def png(color_type, bits, orientation=None):
    """A PNG of `samples`, and of `palette`."""

    def chunk(kind, content):
        length, checksum = (
            struct.pack(">I", n) for n in (len(content), zlib.crc32(kind + content))
        )
        return length + kind + content + checksum

    rows = samples(CHANNELS[color_type], bits).reshape(HEIGHT_PX, -1)
    places = np.arange(bits)[::-1]
    packed = [np.packbits(row[:, None] >> places & 1).tobytes() for row in rows]
    fields = WIDTH_PX, HEIGHT_PX, bits, color_type, 0, 0, 0
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))
        + (chunk(b"PLTE", palette(bits).tobytes()) if color_type == PALETTE else b"")
        + (chunk(b"eXIf", exif(orientation)) if orientation else b"")
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed)))
        + chunk(b"IEND", b"")
    )


def tiff(values, photometric=1, orientation=1, extra_samples=None):
    """An uncompressed TIFF of (H, W, channels), integers or floats."""
    height, width, channels = values.shape
    bits, kind = 8 * values.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    pixels = values.astype(values.dtype.newbyteorder("<")).tobytes()
    fields = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits] * channels),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [8]),
        (274, 3, [orientation]),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(pixels)]),
        *([(338, 3, [extra_samples])] if extra_samples is not None else []),
        (339, 3, [kind] * channels),
    ]
    pixels += b"\0" * (len(pixels) % 2)
    behind = 8 + len(pixels) + 2 + 12 * len(fields) + 4
    entries = rest = b""
    for tag, of_kind, numbers in fields:
        content = struct.pack(f"<{len(numbers)}{'H' if of_kind == 3 else 'I'}", *numbers)
        if len(content) > 4:
            place, rest = struct.pack("<I", behind + len(rest)), rest + content
            content = place
        entries += struct.pack("<HHI", tag, of_kind, len(numbers)) + content.ljust(4, b"\0")
    header = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    return header + pixels + struct.pack("<H", len(fields)) + entries + b"\0" * 4 + rest


def saved(kind, mode="RGB", **options):
    """A file of random pixels that Pillow writes."""
    pixels = samples(4 if mode == "CMYK" else 3, 8).astype(np.uint8)
    image = Image.fromarray(pixels, mode if mode == "CMYK" else "RGB").convert(mode)
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()
