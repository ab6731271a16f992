"""The formats of image files: which are read, what opens them, and what Pillow leaves out of them.

Read is every format of pixels that Pillow decodes in this process, and HEIC with the extra `heic`.
What Pillow hands to another program, as PostScript to Ghostscript, is not opened, whatever the
name of the file.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

from fcn_tf.errors import InputError

# Pillow's names of formats that it draws by another program (EPS, WMF), that it only writes (PDF),
# that need a handler from elsewhere, and of an envelope that may hold any of them (IPTC).
NOT_READ = ("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF")
HEIC_SUFFIXES = (".heic", ".heics", ".heif", ".heifs", ".hif")
# The brands of a HEIC file, behind "ftyp" at its fifth byte.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
CONTAINER_BRANDS = (b"mif1", b"msf1")  # HEIC's or AVIF's
# Formats whose further frames belong to the first: previews and depth of a camera's JPEG, layers.
ONE_PICTURE = ("MPO", "PSD")
# The field of a TIFF page that says what it is, and its bits: a smaller copy, a mask.
NEW_SUBFILE_TYPE = 254
NOT_A_PAGE = 1 | 4

# ICO, CUR and ICNS hold pictures whose size Pillow learns only while it decodes them.
ICONS = (b"\x00\x00\x01\x00", b"\x00\x00\x02\x00", b"icns")
ICON_PIXELS = 1024 * 1024
PICTURE = re.compile(  # the width and the height of a PNG, or of a JPEG 2000
    rb"\x89PNG\r\n\x1a\n.{4}IHDR(.{4})(.{4})|\xff\x4f\xff\x51.{4}(.{4})(.{4})", re.DOTALL
)

HEAD_BYTES = 16  # what Pillow's formats are told by

ImageSource = str | os.PathLike[str] | IO[bytes]


def _pillows_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read, the common ones first."""
    Image.preinit()
    Image.init()
    return tuple(name for name in Image.ID if name not in (*NOT_READ, "HEIF"))


def _suffixes() -> tuple[str, ...]:
    """The suffixes of the formats that are read, sorted; lower case."""
    known = Image.registered_extensions().items()
    read = {suffix for suffix, name in known if name in (*READ_FORMATS, "MPO")}
    return tuple(sorted(read.union(HEIC_SUFFIXES)))


READ_FORMATS = _pillows_formats()
IMAGE_SUFFIXES = _suffixes()
# For messages: all of them would fill a screen.
SHOWN_SUFFIXES = ".jpg .png .tif .webp .bmp .gif .jp2 .avif .heic and what else Pillow reads"


def open_in_process(source: ImageSource, of_any_size: bool = False) -> Image.Image:
    """Opens an image file by its contents; its pixels are not decoded yet.

    Args:
        source: its path, or its bytes as a file.
        of_any_size: opens an image above Pillow's limit of pixels too, for a caller with a limit of
            its own. Pillow's limit is one for all threads, so it is not touched. What Pillow
            checks again while it reads a format, a GIF for example, stays refused.

    Raises:
        OSError, SyntaxError, ValueError: what Pillow raises for a file that it cannot read.
        InputError: a HEIC file, without the extra `heic`.
    """
    head = _head(source, HEAD_BYTES)
    if head.startswith(ICONS):
        _check_icon(_head(source, None))
    opened = _of_any_size if of_any_size else Image.open
    try:
        return opened(source, formats=READ_FORMATS)
    except UnidentifiedImageError as error:
        if not _is_heic(head):
            raise UnidentifiedImageError("it has none of the formats that are read") from error
    _register_heic()
    return opened(source, formats=("HEIF",))


def _of_any_size(source: ImageSource, formats: Sequence[str]) -> Image.Image:
    """As `Image.open`, without Pillow's limit: by the readers that formats are registered with."""
    head = _head(source, HEAD_BYTES)
    for name in formats:
        reader: Any  # takes a path too, which the table's type leaves out
        reader, accepts = Image.OPEN[name]
        # What these raise means that the file is of another format.
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
            answer = True if accepts is None else accepts(head)
            if not answer or isinstance(answer, str):  # a text says what Pillow lacks to read it
                continue
            if not isinstance(source, (str, os.PathLike)):
                source.seek(0)
            return reader(source, "")
    raise UnidentifiedImageError("it has none of the formats that are read")


def pages_of(source: ImageSource) -> int:
    """How many pages or frames a file holds; 1 where it cannot be told.

    Smaller copies of a TIFF's page, its masks, the layers of a PSD and the further pictures of a
    camera's JPEG do not count.

    Args:
        source: as in `open_in_process`.
    """
    with contextlib.suppress(Exception), open_in_process(source) as image:  # a page is broken
        if not getattr(image, "is_animated", False) or image.format in ONE_PICTURE:
            return 1
        frames: int = getattr(image, "n_frames", 1)
        if image.format != "TIFF":
            return frames
        return sum(_is_page(image, number) for number in range(frames))
    return 1


def lost_bits(source: ImageSource, image: Image.Image) -> int:
    """The bits a channel of a file that Pillow cuts down to 8 without a word; 8 where it does not.

    Args:
        source: as in `open_in_process`.
        image: the same file, opened and not decoded.
    """
    match image.format:
        case "AVIF":
            return _bits_of_avif(_head(source, None))
        case "DDS":
            return _bits_of_dds(image)
        case "HEIF":
            return int(image.info.get("bit_depth", 8))
        case "JPEG2000":
            return _bits_of_jpeg_2000(_head(source, 1 << 16))
        case "PPM":
            return _bits_of_ppm(image)
        case "SGI":
            return 16 if _decoder(image)[0] == "SGI16" else 8
    return 8


def _check_icon(contents: bytes) -> None:
    """Refuses a small file that unpacks to more than the memory holds.

    Raises:
        ValueError: a picture in it is larger than those of icons.
    """
    for sides in PICTURE.findall(contents):
        width_px, height_px = (int.from_bytes(side, "big") for side in sides if side)
        if width_px * height_px > ICON_PIXELS:
            size = f"{height_px}x{width_px} px"
            raise ValueError(f"a picture in it has {size}, too large for an icon")


def _is_page(image: Image.Image, number: int) -> bool:
    """Whether a page of an open TIFF is a picture of its own."""
    image.seek(number)
    tags = getattr(image, "tag_v2", {})
    return number == 0 or not tags.get(NEW_SUBFILE_TYPE, 0) & NOT_A_PAGE


def _bits_of_avif(contents: bytes) -> int:
    """The bits a channel by the file's decoder configurations, its alpha's too."""
    bits, at = 8, contents.find(b"av1C")
    while at >= 0:
        flags = contents[at + 6] if len(contents) > at + 6 else 0
        bits = max(bits, 12 if flags & 0x20 else 10 if flags & 0x40 else 8)
        at = contents.find(b"av1C", at + 4)
    return bits


def _bits_of_jpeg_2000(head: bytes) -> int:
    """The bits a channel by the header of a codestream, or of the file around it."""
    if head.startswith(b"\xff\x4f\xff\x51"):
        depths = head[42 : 42 + 3 * int.from_bytes(head[40:42], "big") : 3]
    else:
        at = head.find(b"ihdr") + 4
        depths = head[at + 10 : at + 11] if at > 3 else b""
        if depths == b"\xff":  # they differ, and stand in a box of their own
            box = head.find(b"bpcc")
            depths = head[box + 4 : box + 4 + int.from_bytes(head[at + 8 : at + 10], "big")]
    return max([8, *((depth & 0x7F) + 1 for depth in depths)])


def _bits_of_dds(image: Image.Image) -> int:
    """The bits a channel: 16 for the blocks of floating-point numbers, BC6H."""
    decoder, arguments = _decoder(image)
    return 16 if decoder == "bcn" and arguments[0] == 6 else 8


def _bits_of_ppm(image: Image.Image) -> int:
    """The bits a channel by the largest value that the header allows."""
    arguments = _decoder(image)[1]
    deep = [value for value in arguments if isinstance(value, int) and value > 255]
    return deep[0].bit_length() if deep else 8


def _decoder(image: Image.Image) -> tuple[str, tuple[object, ...]]:
    """Pillow's name of what decodes an image, and its arguments; both empty where none does."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return "", ()
    name, arguments = tiles[0][0], tiles[0][3]
    return name, arguments if isinstance(arguments, tuple) else ()


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in (*HEIC_BRANDS, *CONTAINER_BRANDS)


def _register_heic() -> None:
    """Has Pillow read HEIC.

    Raises:
        InputError: the extra is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise InputError("it is HEIC: pip install 'fcn_tf[heic]' reads it") from error
    pillow_heif.register_heif_opener()


def _head(source: ImageSource, count: int | None = 12) -> bytes:
    """The first bytes of a file, or all; a file that is open stays where it was."""
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            return file.read(-1 if count is None else count)
    place = source.tell()
    source.seek(0)
    head = source.read(-1 if count is None else count)
    source.seek(place)
    return head
