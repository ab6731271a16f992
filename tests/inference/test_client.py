"""The client against both protocols of a server, over a network whose every layer is filled."""

import io
import itertools
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.classes import voc_palette
from fcn_tf.cli import main
from fcn_tf.commands.request import RequestOptions, request
from fcn_tf.config.export_record import ExportRecord
from fcn_tf.errors import InputError, RunError
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.saved_model import write_saved_model
from fcn_tf.inference import client
from fcn_tf.inference.client import connection
from fcn_tf.inference.sending import encoded, labels_of_answer
from tests.networks import narrow_fcn, random_images
from tests.processes import command
from tests.servers import SERVERS, Joined, Servable, grpc_server

MAX_PIXELS = 20_000
CLASSES = ("sky", "sea", "sand", "rock", "tree", "road")
COLORS = [[number, 2 * number, 255 - 40 * number] for number in range(6)]
OLD_EXPORT = Path(__file__).parent.parent / "fixtures/old_export/saved_model/1"
BATCHES = re.search(
    r"```\n(max_batch_size.*?)```",
    (Path(__file__).parent.parent.parent / "docs/serving.md").read_text(),
    re.DOTALL,
)[1]
SIZES = [(40, 70), (97, 33), (64, 64), (33, 65)]


@pytest.fixture(scope="module")
def model():
    return narrow_fcn("fcn8s", 6)


@pytest.fixture(scope="module")
def saved_model(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "1"
    record = ExportRecord(classes=CLASSES, palette=COLORS)
    write_saved_model(freeze(model), folder, MAX_PIXELS, record)
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
        assert overlay.shape[1] >= width
        blended = (image + np.array(COLORS)[labels]) / 2
        assert np.abs(overlay[:height, :width] - blended).max() <= 1
        assert overlay.shape[0] > height  # the legend


@pytest.mark.parametrize("protocol", SERVERS)
def test_what_is_broken_is_named_and_the_rest_is_done(saved_model, tmp_path, protocol, capsys):
    write_images(tmp_path / "in", 3)
    (tmp_path / "in/text.png").write_text("no image")
    cut = io.BytesIO()
    Image.fromarray(random_images(60, 60, 3)).save(cut, "png")
    (tmp_path / "in/cut.png").write_bytes(cut.getvalue()[:200])
    servable = Servable(saved_model)
    with SERVERS[protocol](servable) as url:
        with pytest.raises(RunError, match="2 of 5 images failed"):
            ask(url, tmp_path, format="png")
        failures = capsys.readouterr().err
        for name, reason in [
            ("text.png", "neither a JPEG nor a PNG"),
            ("cut.png", "cannot be decoded: it is cut off or damaged"),
        ]:
            line = next(line for line in failures.splitlines() if f"/{name}: " in line)
            assert reason in line
        done = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert done == ["0000.png.png", "0001.png.png", "0002.png.png"]
        # Again, and those that are done are not sent.
        calls = servable.calls
        with pytest.raises(RunError, match="2 of 2 images failed"):
            ask(url, tmp_path, format="png")
        assert servable.calls == calls + 1 + 2 * 2  # describe; two images, and why they failed


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_model_of_an_older_version_is_served(tmp_path, protocol, capsys):
    """It has no signature that says why, or what its classes are."""
    write_images(tmp_path / "in", 2)
    (tmp_path / "in/text.png").write_text("no image")
    servable = Servable(OLD_EXPORT)
    with SERVERS[protocol](servable) as url, pytest.raises(RunError, match="1 of 3 images failed"):
        ask(url, tmp_path)
    said = capsys.readouterr()
    assert "The server's model does not say what its classes are" in said.out
    assert re.search(r"text\.png: .* says (400|INVALID_ARGUMENT): .*neither a JPEG nor", said.err)
    assert "assertion failed" not in said.err
    assert servable.calls == 3
    for number in range(2):
        image = pixels(tmp_path / f"in/{number:04}.png")
        answer = servable.signatures["labels"](images=tf.constant(image[None]))
        labels = pixels(tmp_path / f"out/{number:04}.png.png")
        np.testing.assert_array_equal(labels, answer["labels"][0])
        height_px, width_px = labels.shape
        written = pixels(tmp_path / f"out/{number:04}.png.overlay.png")
        drawn = written[:height_px, :width_px]  # without the legend
        assert np.abs(drawn - (image + voc_palette()[labels].astype(int)) / 2).max() <= 1


@pytest.mark.parametrize("protocol", SERVERS)
def test_one_that_refuses_without_a_reason(protocol):
    servable = answers(Servable(), png=b"")
    with (
        SERVERS[protocol](servable) as url,
        connection(url)(1, 60.0) as server,
        pytest.raises(RunError, match=f"^{url} refuses the image and gives no reason"),
    ):
        server.label_png(b"an image")


def test_joined_requests_do_not_fail_one_another(model, saved_model, tmp_path, capsys):
    """Under the batching that the docs advise: every good one right, every broken one named."""
    write_images(tmp_path / "in", 20)
    for number in (3, 8, 14):
        (tmp_path / f"in/{number:04}.png").write_bytes(b"\x89PNG and no more")
    servable = Joined(saved_model, BATCHES)
    with grpc_server(servable) as url, pytest.raises(RunError, match="3 of 20 images"):
        ask(url, tmp_path, format="png", concurrency=10)
    assert max(servable.sizes) > 1
    failures = capsys.readouterr().err
    for number in range(20):
        path = tmp_path / f"out/{number:04}.png.png"
        assert (f"{number:04}.png: image_bytes holds" in failures) == (number in (3, 8, 14))
        if path.exists():
            expected = labels_of(model, pixels(tmp_path / f"in/{number:04}.png"))
            assert (pixels(path) == expected).mean() > 0.999
    assert len(list((tmp_path / "out").iterdir())) == 17


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_full_queue_is_said_and_served_again(protocol, soon):
    goes_on, png = threading.Event(), tf.constant([b"the labels"])
    parameters = BATCHES.replace("{ value: 8 }", "{ value: 1 }").replace("100", "1")
    servable = Joined(None, parameters)

    def slow(image_bytes):
        assert goes_on.wait(20)
        return {"label_png_bytes": png}

    servable.signatures = {"serving_default": slow}
    with SERVERS[protocol](servable) as url, connection(url)(2, 60.0) as server:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(server.label_png, b"first")
            while not servable.enqueued:
                assert not first.done()
            with pytest.raises(RunError, match=r"The batch scheduling queue is full"):
                server.label_png(b"second")
            goes_on.set()
            assert first.result() == b"the labels"
        assert server.label_png(b"third") == b"the labels"


@pytest.mark.parametrize("protocol", SERVERS)
def test_who_is_not_let_in_is_told_so_without_the_secret(protocol, monkeypatch, soon):
    """The server's message has the header that it was sent; its image may be labelled with one."""
    servable = answers(Servable(authorization="Bearer t0k.en"))
    with SERVERS[protocol](servable) as url:
        monkeypatch.setenv("FCN_TF_TOKEN", "t0k.en")
        with connection(url)(1, 60.0) as server:
            assert server.label_png(b"an image") == b"the labels"
        monkeypatch.delenv("FCN_TF_TOKEN")
        servable.authorization = "other"
        for given in (url, url.replace("//", "//me:p4ss@")):
            with (
                pytest.raises(RunError, match=r"says (401|UNAUTHENTICATED): not let in") as told,
                connection(given)(1, 60.0),
            ):
                pass
            assert "p4ss" not in str(told.value)
            assert "Basic" not in str(told.value)
    # Nor is it said of a server that is not there.
    with (
        pytest.raises(RunError, match=r"no answer from|UNAVAILABLE") as told,
        connection(url.replace("//", "//me:p4ss@"))(1, 60.0),
    ):
        pass
    assert "p4ss" not in str(told.value)


@pytest.fixture
def soon(monkeypatch):
    """A client that does not wait long before it asks again."""
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)


def answers(servable, png=b"the labels"):
    """Has a servable without a SavedModel answer each image with `png`."""
    servable.predict = lambda signature, inputs: {"label_png_bytes": tf.constant([png])}
    return servable


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_busy_server_is_asked_again(saved_model, tmp_path, protocol, soon):
    write_images(tmp_path / "in", 2)
    servable = Servable(saved_model, unavailable=4)
    with SERVERS[protocol](servable) as url:
        ask(url, tmp_path, concurrency=1, format="png")
    assert servable.calls == 7  # describe, two images, and four that were refused
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("protocol", "refusal", "attempts"),
    [
        *(("rest", status, 5) for status in (429, 502, 503, 504)),
        ("rest", 500, 1),
        *(("grpc", status, 5) for status in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")),
        ("grpc", "INTERNAL", 1),
    ],
)
def test_so_often_a_server_that_refuses_is_asked(protocol, refusal, attempts, soon):
    servable = Servable(unavailable=9, refusal=refusal)
    with (
        SERVERS[protocol](servable) as url,
        connection(url)(1, 60.0) as server,
        pytest.raises(RunError, match=f"^{url} says {refusal}: The batch scheduling queue is full"),
    ):
        server.label_png(b"an image")
    assert servable.calls == attempts


def test_the_pauses_grow(monkeypatch):
    """And are not those that a server asks for, which may be an hour."""
    pauses, channels, insecure_channel = [], [], grpc.insecure_channel
    monkeypatch.setattr("urllib3.util.retry.time.sleep", pauses.append)
    servable = answers(Servable(unavailable=4))
    with SERVERS["rest"](servable) as url, connection(url)(1, 60.0) as server:
        assert server.label_png(b"an image") == b"the labels"
    assert pauses == pytest.approx([0.4, 0.8, 1.6])  # the first attempt again is at once

    def watched(address, options):
        channels.append(dict(options))
        return insecure_channel(address, options)

    monkeypatch.setattr(grpc, "insecure_channel", watched)
    with SERVERS["grpc"](answers(Servable())) as url, connection(url)(1, 60.0):
        pass
    (policy,) = json.loads(channels[0]["grpc.service_config"])["methodConfig"]
    assert policy["retryPolicy"]["initialBackoff"] == "0.2s"
    assert policy["retryPolicy"]["backoffMultiplier"] == 2


@pytest.mark.parametrize(
    ("protocol", "timeout_seconds", "attempts", "message"),
    [("rest", 0.3, 5, "no answer from .*timed out"), ("grpc", 1.0, 1, "DEADLINE_EXCEEDED")],
)
def test_a_server_may_take_so_long(
    tmp_path, protocol, timeout_seconds, attempts, message, soon, capsys
):
    """Over REST for each attempt, over gRPC for all of them together."""
    write_images(tmp_path / "in", 1)
    servable, given_up = Servable(), threading.Event()

    def predict(signature, inputs):
        given_up.wait(timeout=5)
        return {"label_png_bytes": tf.constant([b"late"])}

    servable.predict = predict
    with SERVERS[protocol](servable) as url:
        with pytest.raises(RunError, match="1 of 1 images failed"):
            ask(url, tmp_path, timeout_seconds=timeout_seconds)
        given_up.set()
    assert servable.calls == attempts
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("protocol", SERVERS)
def test_the_version_that_the_url_names(protocol, soon):
    servable = answers(Servable(version=7))
    with SERVERS[protocol](servable) as url:
        for ending in ("", "/", "/versions/7", "/versions/7/", "/labels/stable"):
            with connection(url + ending)(1, 60.0) as server:
                assert server.label_png(b"an image") == b"the labels"
        for ending in ("/versions/8", "/labels/canary"):
            with (
                pytest.raises(RunError, match=r"[nN]ot found"),
                connection(f"{url}{ending}")(1, 60.0),
            ):
                pass
    assert servable.asked == [None, None, 7, 7, "stable"]


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_server_without_a_version_ready_and_a_model_of_others(protocol):
    with (
        SERVERS[protocol](Servable(state="LOADING")) as url,
        pytest.raises(RunError, match=r"the server has no version ready \(LOADING\)"),
        connection(url)(1, 60.0),
    ):
        pass
    servable = Servable()
    servable.predict = lambda signature, inputs: {"scores": tf.constant([[0.5]])}
    with (
        SERVERS[protocol](servable) as url,
        connection(url)(1, 60.0) as server,
        pytest.raises(RunError, match="does not answer with label_png_bytes"),
    ):
        server.label_png(b"an image")


@pytest.mark.parametrize("protocol", SERVERS)
def test_an_answer_may_be_large(protocol):
    png = bytes(5_000_000)  # gRPC takes 4 MB by default
    with (
        SERVERS[protocol](answers(Servable(), png)) as url,
        connection(url)(1, 60.0) as server,
    ):
        assert server.label_png(b"an image") == png


@pytest.mark.parametrize("protocol", SERVERS)
def test_an_encrypted_connection_is_no_plain_one(protocol, soon):
    with SERVERS[protocol](answers(Servable())) as url:
        secure = url.replace("://", "s://", 1)
        with (
            pytest.raises(RunError, match=r"no answer from https:|^grpcs:.* says UNAVAILABLE"),
            connection(secure)(1, 60.0),
        ):
            pass


def test_what_a_server_reads_is_sent_as_it_is(tmp_path):
    image = random_images(20, 30, 3)
    for name in ("a.png", "a.jpg", "a.bmp"):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "a.txt").write_bytes(b"no image")
    for name in ("a.png", "a.jpg", "a.txt"):
        assert encoded(tmp_path / name) == (tmp_path / name).read_bytes()
    with Image.open(io.BytesIO(encoded(tmp_path / "a.bmp"))) as sent:
        assert sent.format == "PNG"
        np.testing.assert_array_equal(np.asarray(sent), image)
    with pytest.raises(InputError, match=r"none\.png: cannot be read"):
        encoded(tmp_path / "none.png")


def test_an_answer_is_a_png_of_labels():
    def png(array):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "png")
        return file.getvalue()

    labels = random_images(20, 30) % 6
    np.testing.assert_array_equal(labels_of_answer(png(labels), 6), labels)
    with pytest.raises(RunError, match="has label 5, but 5 classes"):
        labels_of_answer(png(labels), 5)
    for other in (random_images(20, 30, 3), labels.astype(np.uint16)):
        with pytest.raises(RunError, match="no 8-bit PNG"):
            labels_of_answer(png(other), 256)
    with pytest.raises(RunError, match="is no PNG"):
        labels_of_answer(b"text", 6)


@pytest.mark.parametrize("protocol", SERVERS)
def test_no_server_and_no_such_model(tmp_path, protocol, soon):
    write_images(tmp_path / "in", 1)
    not_found, no_answer = "[nN]ot found", "no answer from|UNAVAILABLE"
    with SERVERS[protocol](Servable()) as url, pytest.raises(RunError, match=not_found):
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
        ("--format=gif", "png,gray,overlay,geojson,coco"),
        ("--concurrency=0", "at least 1"),
        ("--class_names=many.txt", "between 2 and 255"),
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
def test_a_thousand_requests(model, saved_model, tmp_path, protocol, capsys):
    """Of mixed sizes, 5 % of them broken, joined as the docs advise; all in this process."""
    write_images(tmp_path / "in", 1000)
    broken = range(10, 1000, 20)
    for number in broken:
        path = tmp_path / f"in/{number:04}.png"
        path.write_bytes(path.read_bytes()[: number % 60])
    resident = []
    servable = Joined(saved_model, BATCHES)
    predict = servable.predict

    def watched(*arguments):
        resident.append(resident_bytes())
        return predict(*arguments)

    servable.predict = watched
    with SERVERS[protocol](servable) as url, pytest.raises(RunError, match="50 of 1000 images"):
        ask(url, tmp_path, concurrency=16, format="png")
    failures = capsys.readouterr().err
    assert [number for number in range(1000) if f"/{number:04}.png: image_b" in failures] == [
        *broken
    ]
    expected = {}
    for number in set(range(1000)) - set(broken):
        path = tmp_path / f"in/{number:04}.png"
        contents = path.read_bytes()
        if contents not in expected:
            expected[contents] = labels_of(model, pixels(path))
        labels = pixels(tmp_path / f"out/{number:04}.png.png")
        assert (labels == expected[contents]).mean() > 0.999
    assert len(list((tmp_path / "out").iterdir())) == 950
    assert max(servable.sizes) > 1
    tenths = np.array_split(resident, 10)
    assert np.mean(tenths[-1]) <= 1.02 * np.mean(tenths[1])
