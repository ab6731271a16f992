"""A client of TensorFlow Serving, over REST and gRPC: encoded images to PNGs of labels."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from fcn_tf.errors import InputError, RunError
from fcn_tf.images.depth import Bands, Clipped, ValueRange
from fcn_tf.images.formats import open_in_process
from fcn_tf.images.orientation import orientation_of
from fcn_tf.images.read import UNREADABLE, is_deep, read_rgb

ATTEMPTS = 5  # gRPC allows no more
FIRST_PAUSE_SECONDS = 0.2  # doubled before every further attempt
LONGEST_PAUSE_SECONDS = 10
LONGEST_MESSAGE = 500
NO_LABELS = "{} does not answer with label_png_bytes: is it a model of fcn-tf export?"
SERVED = (b"\xff\xd8\xff", b"\x89PNG")  # how files begin that a server decodes
TRY_AGAIN = (429, 502, 503, 504)  # overloaded, or about to start

# From an encoded image, JPEG or PNG, to the PNG of its labels.
LabelPngOf = Callable[[bytes], bytes]
# From requests at once and seconds for one to a connection.
Connect = Callable[[int, float], AbstractContextManager[LabelPngOf]]


def connection(url: str) -> Connect:
    """How a server is connected to.

    Args:
        url: http[s]://HOST:PORT/v1/models/NAME or grpc[s]://HOST:PORT/NAME, either with
            /versions/N behind it for one version.

    Returns:
        A function of the number of requests at once and of the seconds that one may take. It
        gives a context, and the context a function of encoded images to PNGs of labels.

    Raises:
        InputError: a URL of another form.
    """
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
    channel = _Channel(url, parts.netloc, parts.scheme == "grpcs")
    return lambda *limits: _grpc(channel, match["name"], match["version"], *limits)


class _Channel(NamedTuple):
    """Where a gRPC server is."""

    url: str
    address: str
    is_secure: bool


@contextlib.contextmanager
def _rest(url: str, concurrency: int, timeout_seconds: float) -> Iterator[LabelPngOf]:
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
def _grpc(
    server: _Channel,
    name: str,
    version: str | None,
    concurrency: int,
    timeout_seconds: float,
) -> Iterator[LabelPngOf]:
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
    if server.is_secure:
        channel = grpc.secure_channel(server.address, grpc.ssl_channel_credentials(), options)
    else:
        channel = grpc.insecure_channel(server.address, options)

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
                code, what = error.code().name, _what(error.details() or "")
                raise RunError(f"{server.url} says {code}: {what}") from error

        def label_png_of(encoded):
            message = predict_pb2.PredictRequest()
            given = message.inputs["image_bytes"]
            given.dtype = types_pb2.DT_STRING
            given.tensor_shape.dim.add().size = 1
            given.string_val.append(encoded)
            answered = call(predict, message).outputs.get("label_png_bytes")
            if answered is None or len(answered.string_val) != 1:
                raise RunError(NO_LABELS.format(server.url))
            return answered.string_val[0]

        states = call(status, get_model_status_pb2.GetModelStatusRequest()).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        _check_available(server.url, [names.Name(state.state) for state in states])
        yield label_png_of


def _check_available(url: str, states: list[str]) -> None:
    if "AVAILABLE" not in states:
        known = ", ".join(states) or "no version"
        raise RunError(f"{url}: the server has no version ready ({known}).")


def encoded(
    path: Path,
    value_range: ValueRange | None = None,
    clipped: list[Clipped] | None = None,
    bands: Bands | None = None,
) -> bytes:
    """An image file as a server takes it: its bytes, or a PNG of the pixels that viewers show.

    Sent as they are: JPEG in grey or RGB and PNG of 8 bits, without an EXIF orientation.

    Args:
        path: of the file.
        value_range, clipped, bands: as in `read_rgb`.

    Raises:
        InputError: it cannot be read, or has more than 8 bits a channel and there is no range.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    try:
        with open_in_process(io.BytesIO(contents)) as image:
            is_plain = not is_deep(image) and image.mode != "CMYK"
            is_known = contents.startswith(SERVED)
            is_sent_as_it_is = is_plain and is_known and orientation_of(image) == 1
    except InputError as error:  # HEIC, without the extra that reads it
        raise InputError(f"{path}: {error}.") from error
    except UNREADABLE:
        is_sent_as_it_is = True  # the server says what is wrong with it
    if is_sent_as_it_is and bands is None:
        return contents
    png = io.BytesIO()
    pixels = read_rgb(
        path, contents=contents, value_range=value_range, clipped=clipped, bands=bands
    )
    Image.fromarray(pixels).save(png, "png")
    return png.getvalue()


def labels_of_answer(png: bytes, num_classes: int) -> NDArray[np.uint8]:
    """The labels (H, W) in a server's answer.

    Raises:
        RunError: it is no 8-bit PNG of labels below `num_classes`.
    """
    try:
        with Image.open(io.BytesIO(png)) as image:
            labels = np.asarray(image)
    except UNREADABLE as error:
        raise RunError(f"the answer is no PNG ({error}).") from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise RunError("the answer is no 8-bit PNG of labels.")
    if labels.max() >= num_classes:
        raise RunError(f"the answer has label {labels.max()}, but {num_classes} classes are named.")
    return labels


def _what(message: str) -> str:
    """A server's message on one line: of a failed check what it says, not where it stands."""
    check = re.search(r"assertion failed: (.*)", message)
    return check[1] if check else " ".join(message.split())[:LONGEST_MESSAGE]


def _reason(error: BaseException) -> str:
    """The innermost of an exception's reasons, which says most."""
    reason: Any = error
    while isinstance(getattr(reason, "args", None), tuple) and reason.args:
        inner = getattr(reason.args[0], "reason", None) or reason.__cause__
        if inner is None or inner is reason:
            break
        reason = inner
    return str(reason).split(": ", 1)[-1]
