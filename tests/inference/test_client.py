"""The client against both protocols of a server, over a network whose every layer is filled."""

import io
import itertools

import numpy as np
import psutil
import pytest
from PIL import Image

from fcn_tf.classes import voc_palette
from fcn_tf.cli import main
from fcn_tf.commands.request import RequestOptions, request
from fcn_tf.errors import InputError, RunError
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.saved_model import write_saved_model
from tests.networks import narrow_fcn, random_images
from tests.processes import command
from tests.servers import SERVERS, Servable, grpc_server

MAX_PIXELS = 20_000
SIZES = [(40, 70), (97, 33), (64, 64), (33, 65)]


@pytest.fixture(scope="module")
def model():
    return narrow_fcn("fcn8s", 6)


@pytest.fixture(scope="module")
def saved_model(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "1"
    write_saved_model(freeze(model), folder, MAX_PIXELS)
    return folder


def labels_of(model, image):
    return np.asarray(model(image[None], training=False)).argmax(-1)[0]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def ask(url, folder, **options):
    """Has a server label the images of a folder's `in`, to its `out`."""
    request(RequestOptions(url=url, images=(str(folder / "in"),), out=folder / "out", **options))


def write_images(folder, count):
    """Images of mixed sizes, named by number."""
    folder.mkdir()
    for number, size in zip(range(count), itertools.cycle(SIZES), strict=False):
        image = random_images(*size, 3, seed=number % 8)
        Image.fromarray(image).save(folder / f"{number:04}.png")


@pytest.mark.parametrize("protocol", SERVERS)
def test_labels_are_the_models(model, saved_model, tmp_path, protocol):
    write_images(tmp_path / "in", 4)
    nested = tmp_path / "in/deep/wide.bmp"  # a server reads JPEG and PNG alone
    nested.parent.mkdir()
    Image.fromarray(random_images(50, 60, 3, seed=9)).save(nested)
    with SERVERS[protocol](Servable(saved_model)) as url:
        ask(url, tmp_path, concurrency=2)
    for path in [*(tmp_path / "in").glob("*.png"), nested]:
        image = pixels(path)
        written = tmp_path / "out" / path.relative_to(tmp_path / "in")
        labels = pixels(written.with_name(written.name + ".png"))
        assert (labels == labels_of(model, image)).mean() > 0.999
        overlay = pixels(written.with_name(written.name + ".overlay.png"))
        height, width = labels.shape
        assert overlay.shape[1] == width
        blended = (image + voc_palette()[labels].astype(int)) / 2
        assert np.abs(overlay[:height] - blended).max() <= 1
        assert overlay.shape[0] > height  # the legend


@pytest.mark.parametrize("protocol", SERVERS)
def test_what_is_broken_is_named_and_the_rest_is_done(saved_model, tmp_path, protocol, capsys):
    write_images(tmp_path / "in", 3)
    (tmp_path / "in/text.png").write_text("no image")
    Image.fromarray(random_images(200, 200, 3)).save(tmp_path / "in/large.png")
    cut = io.BytesIO()
    Image.fromarray(random_images(60, 60, 3)).save(cut, "png")
    (tmp_path / "in/cut.png").write_bytes(cut.getvalue()[:200])
    servable = Servable(saved_model)
    with SERVERS[protocol](servable) as url:
        with pytest.raises(RunError, match="3 of 6 images failed"):
            ask(url, tmp_path, format="png")
        failures = capsys.readouterr().err
        for name, reason in [
            ("text.png", "neither a JPEG nor a PNG"),
            ("large.png", "between 1 and 20000"),
            ("cut.png", "PNG"),
        ]:
            line = next(line for line in failures.splitlines() if f"/{name}: " in line)
            assert reason in line
        done = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert done == ["0000.png.png", "0001.png.png", "0002.png.png"]
        # Again, and those that are done are not sent.
        calls = servable.calls
        with pytest.raises(RunError, match="3 of 3 images failed"):
            ask(url, tmp_path, format="png")
        assert servable.calls == calls + 3


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_busy_server_is_asked_again(saved_model, tmp_path, protocol):
    write_images(tmp_path / "in", 2)
    servable = Servable(saved_model, unavailable=2)
    with SERVERS[protocol](servable) as url:
        ask(url, tmp_path, concurrency=1, format="png")
    assert servable.calls == 4
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("protocol", SERVERS)
def test_no_server_and_no_such_model(saved_model, tmp_path, protocol):
    write_images(tmp_path / "in", 1)
    not_found, no_answer = "[nN]ot found", "no answer from|UNAVAILABLE"
    with SERVERS[protocol](Servable(saved_model)) as url, pytest.raises(RunError, match=not_found):
        ask(url + "s", tmp_path)
    with pytest.raises(RunError, match=no_answer):
        ask(url, tmp_path)
    assert not (tmp_path / "out").exists()


def test_urls_of_another_form_are_refused(tmp_path):
    for url in ("ftp://a/v1/models/b", "http://a/models/b", "grpc:///b", "grpc://a", "scenes"):
        with pytest.raises(InputError, match="it must be http://HOST"):
            ask(url, tmp_path)


def test_the_command(saved_model, tmp_path, run_here, monkeypatch):
    write_images(tmp_path / "in", 2)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\nf\n")
    with grpc_server(Servable(saved_model)) as url:
        arguments = ["request", f"--url={url}", "--out=out", "in/*.png"]
        done = command(*arguments, "--class_names=labels.txt", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert len(list((tmp_path / "out").iterdir())) == 4
        (tmp_path / "in/a.jpg").write_bytes(b"no image")
        monkeypatch.chdir(tmp_path)
        done = run_here(*arguments, "in/a.jpg")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 2


def test_the_users_mistakes(tmp_path, monkeypatch, capsys):
    write_images(tmp_path / "in", 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many.txt").write_text("".join(f"{number}\n" for number in range(300)))
    for option, message in [
        ("--format=gif", "png,overlay"),
        ("--concurrency=0", "at least 1"),
        ("--class_names=many.txt", "1 to 256"),
        ("--url=http://[::1/v1/models/a", "it must be http://HOST"),
        ("--url=http://a:b/v1/models/a", "it must be http://HOST"),
        ("--url=http://a/v1/models/a?b=1", "it must be http://HOST"),
    ]:
        with pytest.raises(SystemExit) as ended:
            main(["request", "--url=http://a/v1/models/a", "--out=out", option, "in"])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


def resident_bytes():
    return psutil.Process().memory_info().rss


@pytest.mark.slow
@pytest.mark.parametrize("protocol", SERVERS)
def test_a_thousand_requests(model, saved_model, tmp_path, protocol):
    """Eight at a time, of mixed sizes, 5 % of them broken; client and server in this process."""
    write_images(tmp_path / "in", 1000)
    broken = range(10, 1000, 20)
    for number in broken:
        path = tmp_path / f"in/{number:04}.png"
        path.write_bytes(path.read_bytes()[: number % 60])
    resident = []
    servable = Servable(saved_model)
    predict = servable.predict

    def watched(*arguments):
        resident.append(resident_bytes())
        return predict(*arguments)

    servable.predict = watched
    with SERVERS[protocol](servable) as url, pytest.raises(RunError, match="50 of 1000 images"):
        ask(url, tmp_path, concurrency=8, format="png")
    expected = {}
    for number in set(range(1000)) - set(broken):
        path = tmp_path / f"in/{number:04}.png"
        contents = path.read_bytes()
        if contents not in expected:
            expected[contents] = labels_of(model, pixels(path))
        labels = pixels(tmp_path / f"out/{number:04}.png.png")
        assert (labels == expected[contents]).mean() > 0.999
    assert len(list((tmp_path / "out").iterdir())) == 950
    tenths = np.array_split(resident, 10)
    assert np.mean(tenths[-1]) <= 1.02 * np.mean(tenths[1])
