import errno
import functools
import hashlib
import http.server
import shutil
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest
import tensorflow_datasets as tfds

import fcn_tf.data.voc as voc
from fcn_tf.classes import VOC_CLASSES
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.archives import unpacked
from fcn_tf.errors import InputError, RunError
from tests.data.voc_archives import image, labels, write_sbd, write_tar, write_voc

# Python 3.11.0 to 3.11.3 have no filters, and need none for the tests' own archives.
FILTERED = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
# By config and split: the image, and whether its mask is SBD's (1) or VOC's (0).
EXPECTED = {
    "voc2012": {
        "train": {"2007_000032": 0, "2007_000039": 0, "2007_000061": 0},
        "val": {"2007_000033": 0, "2007_000042": 0},
        "trainval": {
            **{"2007_000032": 0, "2007_000033": 0, "2007_000039": 0},
            **{"2007_000042": 0, "2007_000061": 0},
        },
    },
    "voc2012_aug": {
        "train": {
            **{"2007_000032": 0, "2007_000039": 0, "2007_000061": 0},
            **{"2008_000008": 1, "2008_000019": 1},
        },
        "val": {"2007_000033": 0, "2007_000042": 0},
    },
    # Of seg11valid.txt the archive has 000033, 000042 and 000061; SBD trains on 000042.
    "fcn2015": {
        "train": {"2007_000032": 0, "2007_000042": 0, "2008_000008": 1},
        "val": {"2007_000033": 0, "2007_000061": 0},
    },
}


@pytest.fixture
def archives(tmp_path):
    folder = tmp_path / "manual"
    folder.mkdir()
    write_voc(folder / "VOCtrainval_11-May-2012.tar")
    write_sbd(folder / "benchmark.tgz")
    return folder


def open_voc(tmp_path, name, archives):
    folders = {"tfds_dir": str(tmp_path / "tfds"), "manual_dir": str(archives)}
    return open_source(Config(data=DataConfig(name="voc", tfds_config=name, **folders)).data)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_split_has_its_images_and_every_mask_its_pixels(name, tmp_path, archives, capsys):
    source = open_voc(tmp_path, name, archives)
    assert "is not the published archive" in capsys.readouterr().out
    assert source.class_names == VOC_CLASSES
    assert source.split_sizes == {split: len(images) for split, images in EXPECTED[name].items()}
    for split, images in EXPECTED[name].items():
        seen = {}
        for example in whole_images(source, split).as_numpy_iterator():
            number = example["file_name"].decode().removesuffix(".jpg")
            mask = example["segmentation_mask"][..., 0]
            seen[number] = int(not np.array_equal(mask, labels(number)))
            np.testing.assert_array_equal(mask, labels(number, seed=seen[number]))
            # JPEG: near the picture that was written, and of its size.
            assert example["image"].shape == image(number).shape
            assert np.abs(example["image"].astype(int) - image(number)).mean() < 12
        assert seen == images
    trained = set(EXPECTED[name]["train"])
    assert not trained & set(EXPECTED[name]["val"])


def test_a_second_call_prepares_nothing(tmp_path, archives):
    first = open_voc(tmp_path, "voc2012_aug", archives)
    shutil.rmtree(archives)
    archives.mkdir()
    assert open_voc(tmp_path, "voc2012_aug", archives).split_sizes == first.split_sizes


def test_instances_come_with_vocs_own_masks(tmp_path, archives):
    open_voc(tmp_path, None, archives)  # voc2012 is the default
    examples = tfds.load("voc_segmentation/voc2012", split="val", data_dir=tmp_path / "tfds")
    for example in examples.as_numpy_iterator():
        mask = labels(example["file_name"].decode()[:-4])
        np.testing.assert_array_equal(
            example["instance_mask"][..., 0], np.where(mask == 255, 255, mask % 4)
        )


def test_unpacked_folders_are_read_where_they_lie(tmp_path, archives):
    for file in list(archives.iterdir()):
        with tarfile.open(file) as content:
            content.extractall(archives, **FILTERED)
        file.unlink()
    source = open_voc(tmp_path, "fcn2015", archives)
    assert source.split_sizes == {"train": 3, "val": 2}
    assert not (tmp_path / "tfds/downloads/unpacked").exists()
    folder = archives / "VOCdevkit/VOC2012"
    assert unpacked(voc.VOC_ARCHIVE, tmp_path, folder.parent) == (folder, False)


def test_another_archive_of_the_same_name_is_unpacked_anew(tmp_path, archives):
    file = archives / "VOCtrainval_11-May-2012.tar"
    one, published = unpacked(voc.VOC_ARCHIVE, tmp_path / "downloads", archives)
    assert not published
    write_voc(file, {"train": ["2007_000032"], "val": ["2007_000033"]})
    other, _ = unpacked(voc.VOC_ARCHIVE, tmp_path / "downloads", archives)
    assert one != other
    assert (one / "JPEGImages/2007_000061.jpg").exists()
    assert not (other / "JPEGImages/2007_000061.jpg").exists()


def test_published_sizes_hold_for_archives_with_the_published_checksum(
    tmp_path, archives, monkeypatch
):
    file = archives / "VOCtrainval_11-May-2012.tar"
    archive = replace(voc.VOC_ARCHIVE, digest=sha256(file))
    monkeypatch.setattr(voc, "VOC_ARCHIVE", archive)
    with pytest.raises(InputError, match="has 3 images in train, published are 1464"):
        open_voc(tmp_path, "voc2012", archives)
    # With an archive of SBD that is another, the sizes may be others.
    assert open_voc(tmp_path, "fcn2015", archives).split_sizes == {"train": 3, "val": 2}


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def server(archives):
    """Gives the archives over HTTP from this machine."""
    handler = functools.partial(QuietHandler, directory=archives)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_the_next_mirror_is_asked_and_the_checksum_decides(tmp_path, archives, server, capsys):
    file = archives / "VOCtrainval_11-May-2012.tar"
    (archives / "damaged").mkdir()
    (archives / "damaged" / file.name).write_bytes(file.read_bytes()[:-1000])
    urls = tuple(f"{server}/{place}{file.name}" for place in ("gone/", "damaged/", ""))
    archive = replace(voc.VOC_ARCHIVE, urls=urls, digest=sha256(file))
    folder, published = unpacked(archive, tmp_path / "downloads")
    assert published
    assert (folder / "JPEGImages/2007_000061.jpg").exists()
    said = capsys.readouterr().out
    assert f"{urls[0]} does not give" in said
    assert f"{urls[1]} does not give" in said

    nowhere = replace(archive, urls=urls[:2])
    (tmp_path / "downloads" / file.name).unlink()
    with pytest.raises(InputError, match=r"cannot be downloaded. Put it, or VOCdevkit/VOC2012"):
        unpacked(nowhere, tmp_path / "downloads")


def test_what_is_cut_off_leaves_nothing_behind(tmp_path, archives):
    file = archives / "benchmark.tgz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"benchmark.tgz cannot be unpacked; is it cut off"):
        open_voc(tmp_path, "voc2012_aug", archives)
    left = [p.name for p in (tmp_path / "tfds/downloads/unpacked").iterdir()]
    assert [name.split(".")[0] for name in left] == ["VOCtrainval_11-May-2012"]
    file.write_bytes(whole)
    assert open_voc(tmp_path, "voc2012_aug", archives).split_sizes["train"] == 5


@pytest.mark.parametrize("filters", ["filters", "as Python 3.11.3, without filters"])
def test_a_file_that_an_archive_puts_elsewhere_is_refused(tmp_path, archives, monkeypatch, filters):
    if filters != "filters":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    file = archives / "VOCtrainval_11-May-2012.tar"
    with tarfile.open(file, "a") as content:
        content.addfile(tarfile.TarInfo("../../outside"))
    with pytest.raises(InputError, match=r"VOCtrainval_11-May-2012.tar cannot be unpacked"):
        open_voc(tmp_path, "voc2012", archives)
    assert not list(tmp_path.rglob("outside"))


def test_a_list_that_names_what_is_not_there(tmp_path, archives):
    with tarfile.open(archives / "VOCtrainval_11-May-2012.tar") as content:
        files = {m.name: content.extractfile(m).read() for m in content.getmembers()}
    del files["VOCdevkit/VOC2012/SegmentationClass/2007_000039.png"]
    write_tar(archives / "VOCtrainval_11-May-2012.tar", files)
    missing = r"2007_000039 is in a list, but .*/JPEGImages/2007_000039.jpg or its mask"
    with pytest.raises(InputError, match=missing):
        open_voc(tmp_path, "voc2012", archives)
    # What was half prepared is not taken for whole.
    with pytest.raises(InputError, match="2007_000039"):
        open_voc(tmp_path, "voc2012", archives)


def test_a_full_disk_is_said(tmp_path, archives, monkeypatch):
    def full(self, ids, voc, sbd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(voc.VocSegmentation, "_generate_examples", full)
    with pytest.raises(RunError, match="is full"):
        open_voc(tmp_path, "voc2012", archives)

    def forbidden(self, ids, voc, sbd):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(voc.VocSegmentation, "_generate_examples", forbidden)
    with pytest.raises(PermissionError):
        open_voc(tmp_path, "voc2012", archives)


def test_a_manual_dir_that_is_not_there(tmp_path):
    config = DataConfig(name="voc", tfds_config="voc2012", manual_dir=str(tmp_path / "no"))
    with pytest.raises(InputError, match="no such folder"):
        open_source(config)
