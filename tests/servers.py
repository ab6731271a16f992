"""The two protocols of TensorFlow Serving over a loaded SavedModel, on the real protos.

What a client sees of the server: PredictionService and ModelService over gRPC, the REST form
with bytes in base64, and errors by their codes.
"""

import base64
import contextlib
import json
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


class Servable:
    """A SavedModel under a name; the first `unavailable` calls are refused, as by a busy server."""

    def __init__(self, folder, unavailable=0):
        self.signatures = tf.saved_model.load(str(folder)).signatures
        self.unavailable = unavailable
        self.calls = 0
        self.lock = threading.Lock()

    def is_busy(self):
        with self.lock:
            self.calls += 1
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
        if self.servable.is_busy():
            context.abort(grpc.StatusCode.UNAVAILABLE, "The batch scheduling queue is full")
        self._check_name(request, context)
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
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        response.model_version_status.add(version=1, state=available)
        return response

    def _check_name(self, request, context):
        if request.model_spec.name != NAME:
            missing = f"Servable not found for request: Latest({request.model_spec.name})"
            context.abort(grpc.StatusCode.NOT_FOUND, missing)


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
            if self.path != f"/v1/models/{NAME}":
                return self.answer(404, {"error": f"Servable not found: {self.path}"})
            state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK"}}
            return self.answer(200, {"model_version_status": [state]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if servable.is_busy():
                return self.answer(503, {"error": "The batch scheduling queue is full"})
            images = [base64.b64decode(instance["b64"]) for instance in body["instances"]]
            inputs = {"image_bytes": tf.constant(images)}
            try:
                outputs = servable.predict(body.get("signature_name"), inputs)
            except tf.errors.InvalidArgumentError as error:
                return self.answer(400, {"error": error.message})
            pngs = outputs["label_png_bytes"].numpy()
            rows = [{"b64": base64.b64encode(png).decode()} for png in pngs]
            return self.answer(200, {"predictions": rows})

        def answer(self, code, content):
            body = json.dumps(content).encode()
            self.send_response(code)
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
