"""The two protocols of TensorFlow Serving over a loaded SavedModel, on the real protos.

What a client sees of the server: PredictionService and ModelService over gRPC, the REST form
with bytes in base64, and errors by their codes.
"""

import base64
import contextlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

NAME = "scenes"
MISSING = "missing"


class Servable:
    """A SavedModel under a name; the first `unavailable` calls are refused, as by a busy server.

    Args:
        folder: of the SavedModel; None where `predict` is replaced.
        unavailable: how many calls are refused.
        refusal: how: a status of HTTP or the name of one of gRPC; by default busy.
        version, state: the only version, and its state.
    """

    def __init__(self, folder=None, unavailable=0, refusal=None, version=1, state="AVAILABLE"):
        self.signatures = tf.saved_model.load(str(folder)).signatures if folder else {}
        self.unavailable = unavailable
        self.refusal = refusal
        self.version = version
        self.state = state
        self.calls = 0
        self.asked = []  # the version that each call names, or None
        self.lock = threading.Lock()

    def is_there(self, name, version):
        """Whether a model is this one; the version is None where none is named."""
        return name == NAME and version in (None, self.version)

    def is_busy(self, version):
        with self.lock:
            self.calls += 1
            self.asked.append(version)
            return self.calls <= self.unavailable

    def predict(self, signature, inputs):
        return self.signatures[signature or "serving_default"](**inputs)


class GrpcFront(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, servable):
        self.servable = servable

    def Predict(self, request, context):
        self._check_name(request, context)
        if self.servable.is_busy(_version(request)):
            status = grpc.StatusCode[self.servable.refusal or "UNAVAILABLE"]
            context.abort(status, "The batch scheduling queue is full")
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        try:
            outputs = self.servable.predict(request.model_spec.signature_name, inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response

    def GetModelStatus(self, request, context):
        self._check_name(request, context)
        response = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus.State.Value(self.servable.state)
        response.model_version_status.add(version=self.servable.version, state=state)
        return response

    def _check_name(self, request, context):
        if not self.servable.is_there(request.model_spec.name, _version(request)):
            missing = f"Servable not found for request: Latest({request.model_spec.name})"
            context.abort(grpc.StatusCode.NOT_FOUND, missing)


def _version(request):
    spec = request.model_spec
    return spec.version.value if spec.HasField("version") else None


@contextlib.contextmanager
def grpc_server(servable):
    """Serves over gRPC; gives the URL."""
    server = grpc.server(ThreadPoolExecutor(4))
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
            if self.version("") == MISSING:
                return self.answer(404, {"error": f"Servable not found: {self.path}"})
            status = {"error_code": "OK", "error_message": ""}
            version = {"version": str(servable.version), "state": servable.state, "status": status}
            return self.answer(200, {"model_version_status": [version]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            version = self.version(":predict")
            if version == MISSING:
                return self.answer(404, {"error": f"Servable not found: {self.path}"})
            if servable.is_busy(version):
                busy = {"error": "The batch scheduling queue is full"}
                return self.answer(servable.refusal or 503, busy)
            images = [base64.b64decode(instance["b64"]) for instance in body["instances"]]
            inputs = {"image_bytes": tf.constant(images)}
            try:
                outputs = servable.predict(body.get("signature_name"), inputs)
            except tf.errors.InvalidArgumentError as error:
                return self.answer(400, {"error": error.message})
            ((name, output),) = outputs.items()
            rows = output.numpy().tolist()
            if name.endswith("_bytes"):
                rows = [{"b64": base64.b64encode(row).decode()} for row in rows]
            return self.answer(200, {"predictions": rows})

        def version(self, verb):
            """The version that a path names, None where it names none, or MISSING."""
            path = rf"/v1/models/([^/]+?)(?:/versions/(\d+))?{verb}"
            if not (match := re.fullmatch(path, self.path)):
                return MISSING
            version = int(match[2]) if match[2] else None
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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/models/{NAME}"
    finally:
        server.shutdown()
        server.server_close()


SERVERS = {"grpc": grpc_server, "rest": rest_server}
