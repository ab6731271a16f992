from PIL import Image

from fcn_tf.images.find import find_images


def test_hidden_folders_are_left_out_and_suffixes_may_be_large(tmp_path):
    for name in (".cache/a.png", "deep/.trash/b.png", "deep/C.JPG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(tmp_path / name)
    (found,) = find_images([str(tmp_path)])
    assert found.path == tmp_path.resolve() / "deep/C.JPG"
    assert found.name.as_posix() == "deep/C.JPG"
