"""deploy/: compose files and manifests fit their schemas, each other, and docs/serving.md."""

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.extras import needs_extra

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
BASE, GPU = DEPLOY / "kubernetes/base", DEPLOY / "kubernetes/gpu"
AVAILABLE = BASE / "available.sh"
PAGE = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
NAME, GRPC, REST = "scenes", 8500, 8501
PROBE = ["bash", "/config/available.sh", NAME]


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def with_gpu():
    """The deployment of the base with the patch of the overlay, which adds and does no more."""
    deployment = load(BASE / "deployment.yaml")
    for change in load(GPU / "deployment.yaml"):
        assert change["op"] == "add"
        *parents, last = [part.replace("~1", "/") for part in change["path"].split("/")[1:]]
        place = deployment
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        if isinstance(place, list):
            assert last == "-"
            place.append(change["value"])
        else:
            assert last not in place
            place[last] = change["value"]
    return deployment


def container(deployment):
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


DEPLOYMENTS = {"base": load(BASE / "deployment.yaml"), "gpu": with_gpu()}
SERVING = load(DEPLOY / "compose.yaml")["services"]["serving"]
SERVING_GPU = load(DEPLOY / "compose.gpu.yaml")["services"]["serving"]
each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=DEPLOYMENTS)


@needs_extra("dev", "kubernetes_validate")
def test_the_manifests_fit_the_schemas_of_kubernetes():
    import kubernetes_validate

    files = [*(BASE / name for name in load(BASE / "kustomization.yaml")["resources"])]
    manifests = [*map(load, files), DEPLOYMENTS["gpu"], load(DEPLOY / "kubernetes/upload.yaml")]
    for manifest in manifests:
        assert kubernetes_validate.validate(manifest, "1.37", strict=True) == "1.37"
        manifest["spec"]["no_such_key"] = 1
        with pytest.raises(kubernetes_validate.ValidationError, match="no_such_key"):
            kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_ports_agree():
    docker = re.search(r"^docker run -p (\d+):(\d+) -p (\d+):(\d+)", PAGE, re.MULTILINE)
    assert [int(port) for port in docker.groups()] == [GRPC, GRPC, REST, REST]
    assert SERVING["ports"] == [f"{GRPC}:{GRPC}", f"{REST}:{REST}"]
    deployment = DEPLOYMENTS["base"]
    ports = {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}
    assert ports == {"grpc": GRPC, "rest": REST}
    service = load(BASE / "service.yaml")["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in service} == ports
    assert f"port=${{2:-{REST}}}" in AVAILABLE.read_text()
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(REST)
    assert f"grpc://scenes:{GRPC}/{NAME}" in PAGE


def test_the_model_has_one_name_and_one_folder():
    folder = f"/models/{NAME}"
    assert f"exported/scenes/saved_model:{folder}" in PAGE
    assert f"-e MODEL_NAME={NAME} " in PAGE
    assert SERVING["environment"] == {"MODEL_NAME": NAME}
    assert SERVING["healthcheck"]["test"] == ["CMD", *PROBE]
    (models,) = [volume for volume in SERVING["volumes"] if volume["target"] == folder]
    assert models["source"] == "${MODEL_DIR:-../exported/scenes/saved_model}"
    serving = container(DEPLOYMENTS["base"])
    assert serving["env"] == [{"name": "MODEL_NAME", "value": NAME}]
    mounted = {mount["name"]: mount["mountPath"] for mount in serving["volumeMounts"]}
    assert mounted["models"] == folder
    config = text_format.Parse((BASE / "models.config").read_text(), ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (NAME, folder, "tensorflow")
    (upload,) = load(DEPLOY / "kubernetes/upload.yaml")["spec"]["containers"]
    assert upload["volumeMounts"] == [{"name": "models", "mountPath": folder}]


def test_each_label_is_of_a_version_that_is_loaded():
    on_page = re.search(r"```text\n(model_version_policy.*?)```", PAGE, re.DOTALL)[1]
    configs = (
        ((BASE / "models.config").read_text(), [1], {"stable": 1}),
        (
            f"model_config_list {{ config {{ {on_page} }} }}",
            [1, 2],
            {"stable": 1, "canary": 2},
        ),
    )
    for text, versions, labels in configs:
        (model,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
        assert list(model.model_version_policy.specific.versions) == versions
        assert dict(model.version_labels) == labels
    # Without it a server refuses labels of what is not loaded yet, and does not start.
    allowed = "--allow_version_labels_for_unavailable_models=true"
    assert allowed in container(DEPLOYMENTS["base"])["args"]


def test_batches_and_metrics_are_those_of_the_page():
    batching = (GPU / "batching.config").read_text()
    assert f"```\n{batching}```" in PAGE
    assert f"```\n{(BASE / 'monitoring.config').read_text()}```" in PAGE
    options = {"--enable_batching=true", "--batching_parameters_file=/config/batching.config"}
    # The page advises batches on a GPU, and not on a CPU.
    assert set(SERVING_GPU["command"]) == {*SERVING["command"], *options}
    assert not options & set(SERVING["command"])
    base, gpu = (container(deployment)["args"] for deployment in DEPLOYMENTS.values())
    assert set(gpu) == {*base, *options}
    assert not options & set(base)
    assert container(DEPLOYMENTS["gpu"])["resources"]["limits"]["nvidia.com/gpu"] == "1"
    annotations = DEPLOYMENTS["base"]["spec"]["template"]["metadata"]["annotations"]
    assert (
        f'path: "{annotations["prometheus.io/path"]}"' in (BASE / "monitoring.config").read_text()
    )


def paths_in(*lists):
    return {path for text in lists for part in text for path in re.findall(r"/config/\S+", part)}


def test_what_the_containers_read_is_mounted_and_read_only():
    volumes = SERVING["volumes"] + SERVING_GPU["volumes"]
    assert {volume["target"] for volume in volumes} == {
        f"/models/{NAME}",
        *paths_in(SERVING_GPU["command"], SERVING["healthcheck"]["test"]),
    }
    for volume in volumes:
        assert volume["read_only"] is True
        if "$" not in volume["source"]:
            source = DEPLOY / volume["source"]
            assert source.is_file()
            assert source.name == Path(volume["target"]).name
    for folder, deployment in DEPLOYMENTS.items():
        serving = container(deployment)
        generated = [load(BASE / "kustomization.yaml")["configMapGenerator"]]
        if folder == "gpu":
            generated.append(load(GPU / "kustomization.yaml")["configMapGenerator"])
        files = [file for (one,) in generated for file in one["files"]]
        assert {f"/config/{file}" for file in files} == paths_in(
            serving["args"], serving["startupProbe"]["exec"]["command"]
        )
        spec = deployment["spec"]["template"]["spec"]
        (config,) = [v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v]
        assert {one["name"] for (one,) in generated} == {config}
        for mount in serving["volumeMounts"]:
            assert mount.get("readOnly") is (None if mount["name"] == "tmp" else True)


def test_every_file_is_used():
    for folder in (BASE, GPU):
        own = load(folder / "kustomization.yaml")
        named = {*own["resources"], *(patch.get("path") for patch in own.get("patches", []))}
        named |= {file for one in own["configMapGenerator"] for file in one["files"]}
        present = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
        assert named - {None, "../base"} == present
        (image,) = own["images"]
        assert image["name"] == container(DEPLOYMENTS["base"])["image"] == "tensorflow/serving"


@each_deployment
def test_a_pod_is_ready_when_its_versions_are_warm(deployment):
    spec, serving = deployment["spec"], container(deployment)
    startup = serving["startupProbe"]
    assert startup["exec"]["command"] == PROBE
    assert serving["readinessProbe"]["exec"]["command"] == PROBE
    assert startup["periodSeconds"] * startup["failureThreshold"] == 600
    assert spec["progressDeadlineSeconds"] > 600
    # No pod goes before another is ready.
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pause = int(serving["lifecycle"]["preStop"]["exec"]["command"][1])
    assert 0 < pause < spec["template"]["spec"]["terminationGracePeriodSeconds"]
    limits, requests = (serving["resources"][kind] for kind in ("limits", "requests"))
    assert requests.items() <= limits.items()
    # Threads of TensorFlow: as many as the pod has cores.
    for kind in ("intra", "inter"):
        assert f"--tensorflow_{kind}_op_parallelism={limits['cpu']}" in serving["args"]


def test_the_labels_select_the_pods_and_the_scaler_the_deployment():
    label = {"app.kubernetes.io/name": NAME}
    deployment = DEPLOYMENTS["base"]
    assert deployment["spec"]["selector"]["matchLabels"] == label
    assert deployment["spec"]["template"]["metadata"]["labels"] == label
    assert load(BASE / "service.yaml")["spec"]["selector"] == label
    assert load(BASE / "disruption.yaml")["spec"]["selector"]["matchLabels"] == label
    scaler = load(BASE / "autoscaler.yaml")
    assert scaler["spec"]["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": deployment["metadata"]["name"],
    }
    (metric,) = scaler["spec"]["metrics"]
    assert metric["resource"]["name"] == "cpu"
    percent = metric["resource"]["target"]["averageUtilization"]
    least, most = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
    assert f"{least} to {most} pods, {percent} % of the time busy" in PAGE
    # A number in the deployment would undo what the scaler set.
    assert "replicas" not in deployment["spec"]
    assert DEPLOYMENTS["gpu"]["spec"]["replicas"] == 2
    removed = yaml.safe_load(load(GPU / "kustomization.yaml")["patches"][1]["patch"])
    assert removed.pop("$patch") == "delete"
    assert removed == {key: scaler[key] for key in ("apiVersion", "kind", "metadata")}
    claim = load(BASE / "volume.yaml")["metadata"]["name"]
    for spec in (
        deployment["spec"]["template"]["spec"],
        load(DEPLOY / "kubernetes/upload.yaml")["spec"],
    ):
        volumes = [v["persistentVolumeClaim"] for v in spec["volumes"] if v["name"] == "models"]
        assert [volume["claimName"] for volume in volumes] == [claim]


def answer_of(state):
    """What TensorFlow Serving answers to GET /v1/models/scenes, in its own spacing."""
    status = {"error_code": "OK", "error_message": ""}
    version = {"version": "1", "state": state, "status": status}
    return json.dumps({"model_version_status": [version]}, indent=1)


@pytest.mark.skipif(os.name == "nt", reason="the image of TensorFlow Serving has bash")
def test_the_probe_tells_available_from_all_else():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        state = "LOADING"

        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer_of(Handler.state).encode())

        def log_message(self, *given):
            pass

    def probe(port):
        done = subprocess.run(["bash", AVAILABLE, NAME, str(port)], stderr=subprocess.DEVNULL)
        return done.returncode

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        codes = {}
        for Handler.state in ("LOADING", "AVAILABLE", "UNLOADING", "END"):
            codes[Handler.state] = probe(server.server_port)
        server.shutdown()
        thread.join()
    assert codes == {"LOADING": 1, "AVAILABLE": 0, "UNLOADING": 1, "END": 1}
    assert asked == 4 * [f"/v1/models/{NAME}"]
    assert probe(server.server_port) != 0  # no one listens
