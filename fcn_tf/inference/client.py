"""A client of TensorFlow Serving, over REST and gRPC: encoded images to PNGs of labels."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.errors import RunError
from fcn_tf.inference.address import Address, address_of

ATTEMPTS = 5  # gRPC allows no more
FIRST_PAUSE_SECONDS = 0.2  # doubled before every further attempt
LONGEST_PAUSE_SECONDS = 10
LONGEST_MESSAGE = 500
NO_ANSWER = "{} does not answer with {}: is it a model of fcn-tf export?"
DEFAULT = "serving_default"  # the signature that is called where none is named
TRY_AGAIN = (429, 502, 503, 504)  # overloaded, or about to start

# From the name of a signature, that of its output, and an encoded image to the output.
Ask = Callable[[str, str, bytes], bytes]


class Server:
    """A model on a server.

    Args:
        url: for messages.
        ask: calls a signature of one image.
        signatures: the names of the model's signatures.

    Attributes:
        description: what the model says of itself; None where it was exported before models did.

    Raises:
        RunError: the server does not answer, or not as such a model does.
    """

    def __init__(self, url: str, ask: Ask, signatures: Collection[str]) -> None:
        self._url = url
        self._ask = ask
        self._signatures = signatures
        self.description: ExportRecord | None = None
        if "describe" in signatures:
            text = ask("describe", "description", b"").decode()
            try:
                self.description = ExportRecord.from_json(text)
            except ValueError as error:
                raise RunError(f"{url}: the model's description is damaged ({error}).") from error

    def label_png(self, encoded: bytes) -> bytes:
        """The PNG of the labels of an encoded image, JPEG or PNG.

        Raises:
            RunError: the server does not answer, or refuses the image; the message has the reason.
        """
        png = self._ask(DEFAULT, "label_png_bytes", encoded)
        if png:
            return png
        reason = ""
        if "check" in self._signatures:
            reason = self._ask("check", "reason", encoded).decode()
        raise RunError(reason or f"{self._url} refuses the image and gives no reason.")


# From requests at once and seconds for one to a connection.
Connect = Callable[[int, float], AbstractContextManager[Server]]


def connection(url: str) -> Connect:
    """How a server is connected to.

    Args:
        url: as in `address_of`, which looks for an authorization in this process' environment too.

    Returns:
        A function of the number of requests at once and of the seconds that one may take. It
        gives a context, and the context a `Server`.

    Raises:
        InputError: a URL of another form, or an authorization that cannot be sent.
    """
    address = address_of(url, os.environ)
    return functools.partial(_rest if address.scheme.startswith("http") else _grpc, address)


@contextlib.contextmanager
def _rest(server: Address, concurrency: int, timeout_seconds: float) -> Iterator[Server]:
    """A server over REST."""
    url = server.url
    again = Retry(
        ATTEMPTS - 1,
        backoff_factor=FIRST_PAUSE_SECONDS,
        backoff_max=LONGEST_PAUSE_SECONDS,
        status_forcelist=TRY_AGAIN,
        allowed_methods=None,
        respect_retry_after_header=False,  # which may be hours
        raise_on_status=False,
    )

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = server.authorization or ""
        return request

    with requests.Session() as session:
        if server.authorization:  # in the place of what .netrc says, which a header is not
            session.auth = authorize
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
                what = _what(server, str(content.get("error", content)))
                raise RunError(f"{url} says {answer.status_code}: {what}")
            return content

        def ask(signature: str, output: str, encoded: bytes) -> bytes:
            body: dict[str, Any] = {"instances": [{"b64": base64.b64encode(encoded).decode()}]}
            if signature != DEFAULT:
                body["signature_name"] = signature
            content = call("POST", f"{url}:predict", json.dumps(body))
            try:
                (answer,) = content["predictions"]
                # Outputs whose names end with _bytes are written so, and others as texts.
                return answer.encode() if isinstance(answer, str) else _unpacked(answer["b64"])
            except (KeyError, TypeError, ValueError) as error:
                raise RunError(NO_ANSWER.format(url, output)) from error

        try:
            states = [one["state"] for one in call("GET", url)["model_version_status"]]
            _check_available(url, states)
            signatures = call("GET", f"{url}/metadata")["metadata"]["signature_def"]
            known = set(signatures["signature_def"])
        except (KeyError, TypeError) as error:
            raise RunError(f"{url} does not answer as TensorFlow Serving does.") from error
        yield Server(url, ask, known)


@contextlib.contextmanager
def _grpc(server: Address, concurrency: int, timeout_seconds: float) -> Iterator[Server]:
    """The same over gRPC, which multiplexes all requests over one connection."""
    # Imported here: the protos bring TensorFlow along, which REST does without.
    import grpc
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
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
    if server.scheme == "grpcs":
        channel = grpc.secure_channel(server.host, grpc.ssl_channel_credentials(), options)
    else:
        channel = grpc.insecure_channel(server.host, options)
    headers = [("authorization", server.authorization)] if server.authorization else []

    with channel:
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus

        def call(method, message):
            message.model_spec.name = server.name
            if server.version is not None:
                message.model_spec.version.value = server.version
            if server.label:
                message.model_spec.version_label = server.label
            try:
                return method(message, timeout=timeout_seconds, metadata=headers)
            except grpc.RpcError as error:
                code, what = error.code().name, _what(server, error.details() or "")
                raise RunError(f"{server.url} says {code}: {what}") from error

        def ask(signature: str, output: str, encoded: bytes) -> bytes:
            message = predict_pb2.PredictRequest()
            if signature != DEFAULT:
                message.model_spec.signature_name = signature
            given = message.inputs["image_bytes"]
            given.dtype = types_pb2.DT_STRING
            given.tensor_shape.dim.add().size = 1
            given.string_val.append(encoded)
            answered = call(prediction.Predict, message).outputs.get(output)
            if answered is None or len(answered.string_val) != 1:
                raise RunError(NO_ANSWER.format(server.url, output))
            return answered.string_val[0]

        states = call(status, get_model_status_pb2.GetModelStatusRequest()).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        _check_available(server.url, [names.Name(state.state) for state in states])
        wanted = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        found = get_model_metadata_pb2.SignatureDefMap()
        call(prediction.GetModelMetadata, wanted).metadata["signature_def"].Unpack(found)
        yield Server(server.url, ask, set(found.signature_def))


def _check_available(url: str, states: list[str]) -> None:
    if "AVAILABLE" not in states:
        known = ", ".join(states) or "no version"
        raise RunError(f"{url}: the server has no version ready ({known}).")


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _what(server: Address, message: str) -> str:
    """A server's message on one line: of a failed check what it says, not where it stands."""
    message = server.hidden(message)
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
