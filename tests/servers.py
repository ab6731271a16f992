"""The two protocols of TensorFlow Serving over a loaded SavedModel, on the real protos.

What a client sees of the server: PredictionService and ModelService over gRPC, the REST form
with bytes in base64, errors by their codes, and requests that are joined to batches.
"""

import base64
import contextlib
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

NAME = "scenes"
MISSING = "missing"
FULL = "The batch scheduling queue is full"


class Servable:
    """A SavedModel under a name; the first `unavailable` calls are refused, as by a busy server.

    Args:
        folder: of the SavedModel; None where `predict` is replaced.
        unavailable: how many calls are refused.
        refusal: how: a status of HTTP or the name of one of gRPC; by default busy.
        version, state: the only version, and its state.
        label: of that version.
        authorization: the header without which all is refused.
    """

    def __init__(
        self,
        folder=None,
        unavailable=0,
        refusal=None,
        version=1,
        state="AVAILABLE",
        label="stable",
        authorization=None,
    ):
        self.signatures = tf.saved_model.load(str(folder)).signatures if folder else {}
        self.unavailable = unavailable
        self.refusal = refusal
        self.version = version
        self.state = state
        self.label = label
        self.authorization = authorization
        self.calls = 0
        self.asked = []  # the version or the label that each call names, or None
        self.lock = threading.Lock()

    def is_there(self, name, version):
        """Whether a model is this one; the version is None where none is named."""
        return name == NAME and version in (None, self.version, self.label)

    def is_busy(self, version):
        with self.lock:
            self.calls += 1
            self.asked.append(version)
            return self.calls <= self.unavailable

    def predict(self, signature, inputs):
        return self.signatures[signature or "serving_default"](**inputs)


class Joined(Servable):
    """Joins requests as a server with --enable_batching does: one call of the model for several.

    Requests to one signature are concatenated along the first axis of their inputs, the outputs
    are split along theirs, and an error is that of every request in the batch. A request that
    would open a further batch is refused as long as so many wait, or run, as may be enqueued.

    Args:
        parameters: text of the batching parameters file.
        further: as of `Servable`.
    """

    def __init__(self, folder, parameters, **further):
        super().__init__(folder, **further)
        values = dict(re.findall(r"(\w+) { value: (\d+) }", parameters))
        self.max_batch_size = int(values["max_batch_size"])
        self.wait_seconds = int(values["batch_timeout_micros"]) / 1e6
        self.running = threading.Semaphore(int(values["num_batch_threads"]))
        self.max_enqueued = int(values.get("max_enqueued_batches", 2**31))
        self.enqueued = 0
        self.open_batches = {}  # by signature: the requests that wait
        self.changed = threading.Condition()
        self.sizes = []  # of the batches

    def predict(self, signature, inputs):
        request = {"inputs": inputs, "done": threading.Event()}
        with self.changed:
            is_first = signature not in self.open_batches
            if is_first and self.enqueued >= self.max_enqueued:
                raise tf.errors.UnavailableError(None, None, FULL)
            self.enqueued += is_first
            batch = self.open_batches.setdefault(signature, [])
            batch.append(request)
            if len(batch) == self.max_batch_size:  # closed: the next request opens another
                del self.open_batches[signature]
                self.changed.notify_all()
        if is_first:
            self.run_when_full(signature, batch)
        request["done"].wait()
        if "error" in request:
            raise request["error"]
        return request["outputs"]

    def run_when_full(self, signature, batch):
        end = time.monotonic() + self.wait_seconds
        with self.changed:
            while len(batch) < self.max_batch_size and (left := end - time.monotonic()) > 0:
                self.changed.wait(left)
        try:
            with self.running:
                with self.changed:  # until here it was open to further requests
                    if self.open_batches.get(signature) is batch:
                        del self.open_batches[signature]
                self.run(signature, batch)
        except Exception as error:
            for request in batch:
                request["error"] = error
        with self.changed:
            self.enqueued -= 1
        for request in batch:
            request["done"].set()

    def run(self, signature, batch):
        self.sizes.append(len(batch))
        names = batch[0]["inputs"]
        joined = {name: tf.concat([r["inputs"][name] for r in batch], 0) for name in names}
        rows = [len(next(iter(request["inputs"].values()))) for request in batch]
        outputs = super().predict(signature, joined)
        for request, end in zip(batch, np.cumsum(rows), strict=True):
            request["outputs"] = {
                name: output[end - len(next(iter(request["inputs"].values()))) : end]
                for name, output in outputs.items()
            }


class GrpcFront(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, servable):
        self.servable = servable

    def Predict(self, request, context):
        self._check(request, context)
        if self.servable.is_busy(_version(request)):
            status = grpc.StatusCode[self.servable.refusal or "UNAVAILABLE"]
            context.abort(status, FULL)
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        try:
            outputs = self.servable.predict(request.model_spec.signature_name, inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        except tf.errors.UnavailableError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, error.message)
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response

    def GetModelMetadata(self, request, context):
        self._check(request, context)
        assert request.metadata_field == ["signature_def"]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name in self.servable.signatures:
            signatures.signature_def[name].method_name = "tensorflow/serving/predict"
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        return response

    def GetModelStatus(self, request, context):
        self._check(request, context)
        response = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus.State.Value(self.servable.state)
        response.model_version_status.add(version=self.servable.version, state=state)
        return response

    def _check(self, request, context):
        given = dict(context.invocation_metadata()).get("authorization")
        if self.servable.authorization not in (None, given):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"not let in with {given}")
        if not self.servable.is_there(request.model_spec.name, _version(request)):
            missing = f"Servable not found for request: Latest({request.model_spec.name})"
            context.abort(grpc.StatusCode.NOT_FOUND, missing)


def _version(request):
    spec = request.model_spec
    return spec.version.value if spec.HasField("version") else spec.version_label or None


@contextlib.contextmanager
def grpc_server(servable):
    """Serves over gRPC; gives the URL."""
    server = grpc.server(ThreadPoolExecutor(16))
    front = GrpcFront(servable)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(front, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(front, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}/{NAME}"
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def rest_server(servable):
    """Serves over REST; gives the URL."""

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if not self.is_let_in():
                return None
            if self.version("/metadata") != MISSING:
                signatures = {"signature_def": {name: {} for name in servable.signatures}}
                return self.answer(200, {"metadata": {"signature_def": signatures}})
            if self.version("") == MISSING:
                return self.answer(404, {"error": f"Servable not found: {self.path}"})
            status = {"error_code": "OK", "error_message": ""}
            version = {"version": str(servable.version), "state": servable.state, "status": status}
            return self.answer(200, {"model_version_status": [version]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.is_let_in():
                return None
            version = self.version(":predict")
            if version == MISSING:
                return self.answer(404, {"error": f"Servable not found: {self.path}"})
            if servable.is_busy(version):
                return self.answer(servable.refusal or 503, {"error": FULL})
            images = [base64.b64decode(instance["b64"]) for instance in body["instances"]]
            inputs = {"image_bytes": tf.constant(images)}
            try:
                outputs = servable.predict(body.get("signature_name"), inputs)
            except tf.errors.InvalidArgumentError as error:
                return self.answer(400, {"error": error.message})
            except tf.errors.UnavailableError as error:
                return self.answer(503, {"error": error.message})
            ((name, output),) = outputs.items()
            rows = output.numpy().tolist()
            if name.endswith("_bytes"):
                rows = [{"b64": base64.b64encode(row).decode()} for row in rows]
            elif output.dtype == tf.string:
                rows = [row.decode() for row in rows]
            return self.answer(200, {"predictions": rows})

        def is_let_in(self):
            given = self.headers["Authorization"]
            if servable.authorization in (None, given):
                return True
            self.answer(401, {"error": f"not let in with {given}"})
            return False

        def version(self, verb):
            """The version or label that a path names, None where there is none, or MISSING."""
            path = rf"/v1/models/([^/:]+?)(?:/versions/(\d+)|/labels/([^/:]+))?{verb}"
            if not (match := re.fullmatch(path, self.path)):
                return MISSING
            version = int(match[2]) if match[2] else match[3]
            return version if servable.is_there(match[1], version) else MISSING

        def answer(self, code, content):
            body = json.dumps(content).encode()
            self.send_response(code)
            if code == 503:
                self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    class Server(ThreadingHTTPServer):
        # Connections that wait to be taken. With Python's 5, others wait for seconds in a crowd.
        request_queue_size = 4096

    server = Server(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/models/{NAME}"
    finally:
        server.shutdown()
        server.server_close()


SERVERS = {"grpc": grpc_server, "rest": rest_server}
