"""Which files are read as images, and what Pillow would leave out of them without a word."""

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.formats import IMAGE_SUFFIXES, open_in_process, pages_of
from fcn_tf.images.masks import Coding, read_mask
from fcn_tf.images.read import open_pixels, read_header, read_rgb
from fcn_tf.inference.sending import encoded
from tests.extras import needs_extra

GREY = np.arange(96, dtype=np.uint8).reshape(8, 12) * 2
RGB = np.stack([GREY, 255 - GREY, GREY // 3], axis=-1)


def frames():
    """Three of them; Pillow's images remember the format in which they were saved last."""
    return [Image.fromarray(grey) for grey in (GREY, 255 - GREY, GREY // 2)]


def several(format, **options):
    """The bytes of a file with three frames."""
    first, *others = frames()
    return contents(first, format, save_all=True, append_images=others, **options)


def contents(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("suffixes", "format", "options"),
    [
        (".bmp .dib", "BMP", {}),
        (".gif", "GIF", {}),
        (".jp2 .jpx .jpf", "JPEG2000", {}),
        (".j2k .jpc .j2c", "JPEG2000", {"no_jp2": True}),
        (".pcx", "PCX", {}),
        (".pgm .ppm .pnm .pbm", "PPM", {}),
        (".png .apng", "PNG", {}),
        (".qoi", "QOI", {}),
        (".sgi .rgb .bw", "SGI", {}),
        (".tga .vda .icb .vst", "TGA", {}),
        (".tif .tiff", "TIFF", {}),
        (".webp", "WEBP", {"lossless": True}),
        (".dds", "DDS", {}),
        (".jpg .jpeg .jpe .jfif .mpo", "JPEG", {"quality": 100, "subsampling": 0}),
        (".avif", "AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_every_format_that_pillow_decodes_is_read(tmp_path, suffixes, format, options):
    grey = format == "GIF"
    path = tmp_path / f"a{suffixes.split()[0]}"
    path.write_bytes(contents(Image.fromarray(GREY if grey else RGB), format, **options))
    expected = np.stack([GREY] * 3, -1) if grey else RGB
    read = read_rgb(path)
    assert np.abs(read.astype(int) - expected).max() <= (3 if format in ("JPEG", "AVIF") else 0)
    assert read_header(path).stored_px == (8, 12)
    assert set(suffixes.split()) <= set(IMAGE_SUFFIXES)


def test_an_icon_is_its_largest_picture(tmp_path):
    for suffix, side_px in ((".ico", 256), (".icns", 1024)):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(RGB).resize((256, 256)).save(path)
        assert suffix in IMAGE_SUFFIXES
        assert read_rgb(path).shape == (side_px, side_px, 3)


def test_what_other_programs_draw_is_not_opened(tmp_path, monkeypatch):
    """Whatever its name is; Pillow would start Ghostscript."""
    others = ".eps .ps .pdf .wmf .emf .mpg .h5 .hdf .grib .bufr .iim"
    assert not set(others.split()) & set(IMAGE_SUFFIXES)
    Image.fromarray(RGB).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")

    def started(*arguments, **options):
        raise AssertionError("another program is started")

    monkeypatch.setattr("subprocess.check_call", started)
    with pytest.raises(InputError, match=r"a\.png: .*\(it has none of the formats that are read\)"):
        read_rgb(tmp_path / "a.png")


def patched(encoded, mark, offset, value):
    """Bytes with another value at an offset behind a mark."""
    at = encoded.index(mark) + len(mark) + offset
    return encoded[:at] + bytes([value]) + encoded[at + 1 :]


def deep_avif(flags, bits):
    """A file whose header says that its channels have so many bits."""
    shallow = contents(Image.fromarray(RGB), "AVIF")
    for channel in range(3):
        shallow = patched(shallow, b"pixi", 5 + channel, bits)
    return patched(shallow, b"av1C", 2, flags)


def bc6h():
    """A DDS texture of half floats."""
    header = struct.pack("<7I44x", 124, 0x1007, 4, 4, 16, 0, 0)
    pixel_format = struct.pack("<2I4s5I", 32, 4, b"DX10", 0, 0, 0, 0, 0)
    dxgi = struct.pack("<5I", 95, 3, 0, 1, 0)
    return b"DDS " + header + pixel_format + bytes(20) + dxgi + bytes(16)


DEEP = {
    "a.jp2": (patched(contents(Image.fromarray(RGB), "JPEG2000"), b"ihdr", 10, 11), 12),
    "a.j2k": (
        patched(contents(Image.fromarray(RGB), "JPEG2000", no_jp2=True), b"\xff\x51", 41, 9), 10,
    ),
    "a.avif": (deep_avif(0x4C, 10), 10),
    "b.avif": (deep_avif(0x6C, 12), 12),
    "a.ppm": (b"P6 2 1 65535\n" + bytes(12), 16),
    "a.pnm": (b"P6 2 1 1023\n" + bytes(12), 10),
    "a.sgi": (contents(Image.fromarray(RGB), "SGI", bpc=2), 16),
    "a.dds": (bc6h(), 16),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_depth_that_pillow_cuts_off_is_refused(tmp_path, name):
    """The same file of 8 bits is read: see above."""
    deep, bits = DEEP[name]
    (tmp_path / name).write_bytes(deep)
    with pytest.raises(InputError, match=rf"more than 8 bits a channel \(RGBA?;{bits}N\)"):
        read_rgb(tmp_path / name)


def test_pages_and_frames_are_counted(tmp_path):
    for format, options in (("GIF", {}), ("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        assert pages_of(io.BytesIO(several(format, **options))) == 3
        assert pages_of(io.BytesIO(contents(frames()[0], format, **options))) == 1
    # A camera's JPEG with a preview is one picture.
    assert pages_of(io.BytesIO(several("MPO"))) == 1
    assert pages_of(tmp_path / "nowhere.gif") == 1


def test_a_smaller_copy_in_a_tiff_is_no_page():
    small = Image.fromarray(GREY[::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}  # of this page alone
    first, second, _ = frames()
    tiff = contents(first, "TIFF", save_all=True, append_images=[second, small])
    assert pages_of(io.BytesIO(tiff)) == 2


def test_a_mask_of_several_pages_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(several("TIFF"))
    coding = Coding(255, ((0, 0, 0),) * 255)
    with pytest.raises(InputError, match=r"a\.tif has 3 pages or frames, and a mask is one image"):
        read_mask(tmp_path / "a.tif", coding)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.tif")[..., 0], GREY)  # an image's first


def test_a_picture_in_an_icon_is_not_larger_than_icons_are(tmp_path):
    """The header of the icon says 16x16 px."""
    png = contents(Image.new("L", (1025, 1024)), "PNG")
    header = struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 8, len(png), 22)
    jpeg_2000 = contents(Image.new("L", (1024, 1025)), "JPEG2000", no_jp2=True)
    sizes = len(jpeg_2000) + 16, b"ic09", len(jpeg_2000) + 8
    icons = header + png, struct.pack(">4sI4sI", b"icns", *sizes) + jpeg_2000
    for icon, size in zip(icons, ("1024x1025", "1025x1024"), strict=True):
        (tmp_path / "a.ico").write_bytes(icon)
        with pytest.raises(InputError, match=f"a picture in it has {size} px, too large for an"):
            open_pixels(tmp_path / "a.ico")


HEIC = b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic" + bytes(30)


def test_heic_without_its_extra_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(HEIC)
    with pytest.raises(InputError, match=r"a\.heic: .*pip install 'fcn_tf\[heic\]' reads it"):
        read_rgb(tmp_path / "a.heic")
    with pytest.raises(InputError, match=r"a\.heic: .*pip install 'fcn_tf\[heic\]' reads it"):
        encoded(tmp_path / "a.heic")


@needs_extra("heic", "pillow_heif")
def test_heic_is_read_as_viewers_show_it(tmp_path):
    import pillow_heif

    pillow_heif.register_heif_opener()
    smooth = np.zeros((64, 96, 3), np.uint8)
    smooth[:32, :32] = (200, 40, 90)
    exif = Image.Exif()
    exif[0x112] = 6  # a quarter turn
    turned = Image.open(io.BytesIO(contents(Image.fromarray(smooth), "JPEG", exif=exif)))
    (tmp_path / "a.heic").write_bytes(contents(turned, "HEIF", quality=100))
    with open_in_process(tmp_path / "a.heic") as image:
        assert image.format == "HEIF"
    assert read_header(tmp_path / "a.heic").stored_px == (96, 64)
    read = read_rgb(tmp_path / "a.heic")
    assert np.abs(read[4:28, 36:60].astype(int) - (200, 40, 90)).max() <= 6
    assert read[40:, :].max() <= 6
    # A server that reads JPEG and PNG gets the same pixels.
    sent = Image.open(io.BytesIO(encoded(tmp_path / "a.heic")))
    np.testing.assert_array_equal(np.asarray(sent), read)
    deep = pillow_heif.from_bytes("RGB;16", (12, 8), (RGB.astype(np.uint16) * 257).tobytes())
    deep.save(tmp_path / "deep.heic")
    with pytest.raises(InputError, match=r"more than 8 bits a channel \(RGB;10N\)"):
        read_rgb(tmp_path / "deep.heic")
