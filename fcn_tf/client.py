"""A client of TensorFlow Serving, over REST and gRPC: images to files of labels."""

import base64
import contextlib
import io
import json
import re
from urllib.parse import urlsplit

import numpy as np
import requests
from PIL import Image
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from fcn_tf.classes import voc_palette
from fcn_tf.errors import InputError, RunError
from fcn_tf.files import make_folder
from fcn_tf.image_files import find_images, open_image, rgb
from fcn_tf.prediction_files import work_through, write_prediction

ATTEMPTS = 5  # gRPC allows no more
FIRST_PAUSE_SECONDS = 0.2  # doubled before every further attempt
LONGEST_PAUSE_SECONDS = 10
LONGEST_MESSAGE = 500
NO_LABELS = "{} does not answer with label_png_bytes: is it a model of fcn-tf export?"
TRY_AGAIN = (429, 502, 503, 504)  # overloaded, or about to be there


def request(
    url,
    images,
    out,
    concurrency=8,
    timeout_seconds=60.0,
    formats=("png", "overlay"),
    class_names=None,
    opacity=0.5,
    overwrite=False,
):
    """Has a server label images.

    Args:
        url: http[s]://HOST:PORT/v1/models/NAME or grpc[s]://HOST:PORT/NAME, either with
            /versions/N behind it for one version.
        images: list of strings: files, folders, patterns, "-" for standard input.
        out: folder for the files.
        concurrency: int, requests at once.
        timeout_seconds: how long the server may take for an image.
        formats: some of "png", the labels, and "overlay".
        class_names: of the overlay's legend; default the numbers.
        opacity: of the overlay's colours, 0 to 1.
        overwrite: bool, whether images whose files are there are sent again.

    Raises:
        InputError: a URL of another form, or no image there.
        RunError: no server, no such model, or images that failed, each of which was named.
    """
    connect = _connection(url)
    images = find_images(images, out)
    names = list(map(str, range(256))) if class_names is None else class_names
    if not 1 <= len(names) <= 256:
        raise InputError(f"--class_names: {len(names)} names, and there are 1 to 256 classes.")
    palette = voc_palette(len(names))
    with connect(concurrency, timeout_seconds) as label_png_of:
        make_folder(out)

        def work(image, paths):
            labels = _labels(label_png_of(_encoded(image.path)), len(names))
            pixels = np.asarray(rgb(open_image(image.path), image.path))
            if pixels.shape[:2] != labels.shape:
                raise RunError("the answer has another size than the image.")
            write_prediction(paths, pixels, labels, names, palette, opacity)

        work_through(images, work, out, formats, overwrite, concurrency)


def _connection(url):
    """A function of concurrency and timeout that connects to a URL."""
    try:
        parts = urlsplit(url)
        is_plain = parts.hostname and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        parts, is_plain = urlsplit(""), False
    pattern = {
        "http": r".*/v1/models/[^/]+(/versions/\d+)?",
        "grpc": r"/(?P<name>[^/]+)(/versions/(?P<version>\d{1,18}))?",
    }.get(parts.scheme.removesuffix("s"))
    match = pattern and is_plain and re.fullmatch(pattern, parts.path.rstrip("/"))
    if not match:
        raise InputError(
            f"--url {url}: it must be http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME, "
            "either with /versions/N behind it; https and grpcs are encrypted."
        )
    if parts.scheme.startswith("http"):
        return lambda *limits: _rest(url.rstrip("/"), *limits)
    is_secure = parts.scheme == "grpcs"
    return lambda *limits: _grpc(
        url, parts.netloc, is_secure, match["name"], match["version"], *limits
    )


@contextlib.contextmanager
def _rest(url, concurrency, timeout_seconds):
    """A function of encoded images to PNGs of labels, over REST."""
    again = Retry(
        ATTEMPTS - 1,
        backoff_factor=FIRST_PAUSE_SECONDS,
        backoff_max=LONGEST_PAUSE_SECONDS,
        status_forcelist=TRY_AGAIN,
        allowed_methods=None,
        respect_retry_after_header=False,  # which may be hours
        raise_on_status=False,
    )

    with requests.Session() as session:
        adapter = HTTPAdapter(pool_maxsize=concurrency, max_retries=again)
        session.mount("http://", adapter)
        session.mount("https://", adapter)

        def call(method, address, body=None):
            try:
                answer = session.request(method, address, data=body, timeout=timeout_seconds)
            except requests.RequestException as error:
                raise RunError(f"no answer from {url}: {_reason(error)}") from error
            try:
                content = answer.json()
            except ValueError:
                content = None
            if not isinstance(content, dict):
                content = {"error": answer.text.strip() or answer.reason}
            if not answer.ok:
                what = _what(str(content.get("error", content)))
                raise RunError(f"{url} says {answer.status_code}: {what}")
            return content

        def label_png_of(encoded):
            body = {"instances": [{"b64": base64.b64encode(encoded).decode()}]}
            content = call("POST", f"{url}:predict", json.dumps(body))
            try:
                return base64.b64decode(content["predictions"][0]["b64"])
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise RunError(NO_LABELS.format(url)) from error

        try:
            states = [one["state"] for one in call("GET", url)["model_version_status"]]
        except (KeyError, TypeError) as error:
            raise RunError(f"{url} does not answer as TensorFlow Serving does.") from error
        _check_available(url, states)
        yield label_png_of


@contextlib.contextmanager
def _grpc(url, address, is_secure, name, version, concurrency, timeout_seconds):
    """The same over gRPC, which multiplexes all requests over one connection."""
    # Imported here: the protos bring TensorFlow along, which REST does without.
    import grpc
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import (
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    again = {
        "maxAttempts": ATTEMPTS,
        "initialBackoff": f"{FIRST_PAUSE_SECONDS}s",
        "maxBackoff": f"{LONGEST_PAUSE_SECONDS}s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    options = [
        (
            "grpc.service_config",
            json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": again}]}),
        ),
        # Answers above 4 MB are refused by default.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    if is_secure:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
    else:
        channel = grpc.insecure_channel(address, options)

    with channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus

        def call(method, message):
            message.model_spec.name = name
            if version:
                message.model_spec.version.value = int(version)
            try:
                return method(message, timeout=timeout_seconds)
            except grpc.RpcError as error:
                code = error.code().name
                raise RunError(f"{url} says {code}: {_what(error.details() or '')}") from error

        def label_png_of(encoded):
            message = predict_pb2.PredictRequest()
            given = message.inputs["image_bytes"]
            given.dtype = types_pb2.DT_STRING
            given.tensor_shape.dim.add().size = 1
            given.string_val.append(encoded)
            answered = call(predict, message).outputs.get("label_png_bytes")
            if answered is None or len(answered.string_val) != 1:
                raise RunError(NO_LABELS.format(url))
            return answered.string_val[0]

        states = call(status, get_model_status_pb2.GetModelStatusRequest()).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        _check_available(url, [names.Name(state.state) for state in states])
        yield label_png_of


def _check_available(url, states):
    if "AVAILABLE" not in states:
        known = ", ".join(states) or "no version"
        raise RunError(f"{url}: the server has no version ready ({known}).")


def _encoded(path):
    """The bytes of a file, as a PNG where the server does not read its format."""
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    try:
        with Image.open(io.BytesIO(contents)) as image:
            is_sent_as_it_is = image.format in ("JPEG", "PNG")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        is_sent_as_it_is = True  # the server says what is wrong with it
    if is_sent_as_it_is:
        return contents
    png = io.BytesIO()
    rgb(open_image(path), path).save(png, "png")
    return png.getvalue()


def _labels(png, num_classes):
    """uint8 (H, W) from a server's answer."""
    try:
        with Image.open(io.BytesIO(png)) as image:
            labels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RunError(f"the answer is no PNG ({error}).") from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise RunError("the answer is no 8-bit PNG of labels.")
    if labels.max() >= num_classes:
        raise RunError(f"the answer has label {labels.max()}, but {num_classes} classes are named.")
    return labels


def _what(message):
    """A server's message on one line: of a failed check what it says, not where it stands."""
    check = re.search(r"assertion failed: (.*)", message)
    return check[1] if check else " ".join(message.split())[:LONGEST_MESSAGE]


def _reason(error):
    """The innermost of an exception's reasons, which says most."""
    reason = error
    while isinstance(getattr(reason, "args", None), tuple) and reason.args:
        inner = getattr(reason.args[0], "reason", None) or reason.__cause__
        if inner is None or inner is reason:
            break
        reason = inner
    return str(reason).split(": ", 1)[-1]
