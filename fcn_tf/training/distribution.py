"""The devices and machines that share a run, and how they agree with each other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from fcn_tf.config.schema import DistributionConfig
from fcn_tf.errors import InputError, RunError
from fcn_tf.training.stopping import handlers, set_handlers

# The addresses of the machines by type, and the type and index of this one.
ClusterSpec = tuple[dict[str, list[str]], tuple[str, int]]

# What TensorFlow raises on a machine whose peer has ended or does not answer.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Cluster:
    """A strategy, and how the machines under it agree.

    Args:
        strategy: a `tf.distribute.Strategy`.

    Attributes:
        strategy: the same.
        replicas: number of devices of all machines.
        workers: number of machines.
        worker: which of them this is, from 0.
        is_chief: whether this is worker 0, which writes the files.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy = strategy
        self.replicas: int = strategy.num_replicas_in_sync
        self.workers, self.worker = 1, 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self.workers, self.worker = _place_in_cluster(read_tf_config())
        self.is_chief = self.worker == 0
        self._sum = tf.function(self._sum_over_replicas)

    def distribute(self, make_share: Callable[[int, int], tf.data.Dataset]) -> Iterator[Any]:
        """An iterator for `strategy.run` over the shares of all workers.

        Args:
            make_share: maps worker and workers to a `tf.data.Dataset`, whose elements
                go to the worker's devices in turn.
        """
        return iter(
            self.strategy.distribute_datasets_from_function(
                lambda context: make_share(context.input_pipeline_id, context.num_input_pipelines)
            )
        )

    def sum_over_workers(self, values: Sequence[int]) -> list[int]:
        """Adds up the numbers of all workers; every worker has to call this.

        Args:
            values: as many on every worker.
        """
        if self.workers == 1:
            return [int(value) for value in values]
        (total,) = self._sum([tf.constant(values, tf.int64)])
        return total.numpy().tolist()

    def wait_for_workers(self) -> None:
        """Returns once every worker has called this."""
        self.sum_over_workers([0])

    def broadcast_from_chief(self, value: Any) -> Any:
        """The chief's value, on every worker; every worker has to call this.

        Args:
            value: anything that JSON holds. Only the chief's counts.
        """
        if self.workers == 1:
            return value
        text = list(json.dumps(value).encode()) if self.is_chief else []
        (length,) = self.sum_over_workers([len(text)])
        return json.loads(bytes(self.sum_over_workers(text or [0] * length)))

    def copy_variables_from_chief(self, variables: Iterable[tf.Variable]) -> None:
        """Gives each `tf.Variable` the chief's value; every worker has to call this."""
        if self.workers == 1:
            return
        variables = list(variables)
        values = [tf.identity(variable) for variable in variables]
        if not self.is_chief:
            values = [tf.zeros_like(value) for value in values]
        for variable, value in zip(variables, self._sum(values), strict=True):
            variable.assign(value)

    @contextlib.contextmanager
    def lost_peers_as_run_error(self) -> Iterator[None]:
        """Turns what TensorFlow raises when another machine has ended into a `RunError`."""
        try:
            yield
        except PEER_ERRORS as error:
            if self.workers == 1:
                raise
            raise RunError(
                "Another machine ended or does not answer; its own output says why. The last "
                "checkpoint is whole: start all machines again with --resume auto."
            ) from error

    def _sum_over_replicas(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """The sum of tensors over the workers, of which each gives what its first device has."""

        def share() -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group % (self.replicas // self.workers) == 0
            shares = [tf.where(first, value, tf.zeros_like(value)) for value in values]
            # One by one: a list has to be of one dtype.
            return [context.all_reduce("SUM", share) for share in shares]

        totals = self.strategy.run(share)
        return [self.strategy.experimental_local_results(total)[0] for total in totals]


def make_cluster(config: DistributionConfig) -> Cluster:
    """The devices that a `DistributionConfig` names; call it before all other TensorFlow.

    Returns:
        A `Cluster`. Of several machines, it returns once all of them have started.

    Raises:
        InputError: TF_CONFIG is broken, or a device that is asked for does not exist.
    """
    tf_config = read_tf_config()
    machines = _count_machines(tf_config)
    if config.virtual_devices:
        _split_processor(config.virtual_devices)
    gpus = len(tf.config.list_physical_devices("GPU"))
    name: str = config.strategy
    if name == "auto":
        name = _best_strategy(machines, devices=max(gpus, config.virtual_devices or 1))
    if name == "multi_worker":
        strategy = _multi_worker_strategy(tf_config, config.timeout_seconds)
    elif name == "tpu":
        strategy = _tpu_strategy()
    elif name == "mirrored":
        kind, count = ("GPU", gpus) if gpus else ("CPU", config.virtual_devices or 1)
        devices = [f"{kind}:{index}" for index in range(count)]
        strategy = tf.distribute.MirroredStrategy(devices)
    else:
        # TensorFlow's default: the first GPU, or else the processor.
        strategy = tf.distribute.get_strategy()
    cluster = Cluster(strategy)
    kind = "TPU core" if name == "tpu" else "GPU" if gpus else "CPU"
    print(f"Training on {_counted(cluster, kind)} (strategy {name}).", flush=True)
    return cluster


def _best_strategy(machines: int, devices: int) -> str:
    """The strategy that "auto" stands for."""
    if machines > 1:
        return "multi_worker"
    if os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
        return "tpu"
    return "mirrored" if devices > 1 else "one_device"


def _counted(cluster: Cluster, kind: str) -> str:
    """The devices in words: "one GPU", "4 GPUs of 2 machines"."""
    devices = f"one {kind}" if cluster.replicas == 1 else f"{cluster.replicas} {kind}s"
    return devices + (f" of {cluster.workers} machines" if cluster.workers > 1 else "")


def read_tf_config() -> ClusterSpec:
    """The cluster and this machine's task in it, from the environment variable TF_CONFIG.

    Returns:
        dict of addresses by type, empty without TF_CONFIG, and (type, index).

    Raises:
        InputError: it is not as TensorFlow's documentation describes it.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text or text == "{}":
        return {}, ("worker", 0)
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
    example += '"index": 0}}'
    try:
        values = json.loads(text)
        cluster = {kind: list(tasks) for kind, tasks in values.get("cluster", {}).items()}
        kind, index = values["task"]["type"], int(values["task"]["index"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"TF_CONFIG={text} is not of the form {example}.") from error
    unknown = set(cluster) - {"chief", "worker"}
    if unknown:
        raise InputError(
            f"TF_CONFIG names the task {', '.join(sorted(unknown))}: only chief and worker take "
            "part; val is evaluated by the workers."
        )
    if cluster and not 0 <= index < len(cluster.get(kind, ())):
        known = ", ".join(f"{name} 0 to {len(tasks) - 1}" for name, tasks in cluster.items())
        raise InputError(f"TF_CONFIG says that this is {kind} {index}, but there are {known}.")
    return cluster, (kind, index)


def _count_machines(tf_config: ClusterSpec) -> int:
    """The number of machines, 0 without TF_CONFIG."""
    cluster, _ = tf_config
    return sum(len(tasks) for tasks in cluster.values())


def _place_in_cluster(tf_config: ClusterSpec) -> tuple[int, int]:
    """The number of machines, and which one this is; a chief comes before the workers."""
    cluster, (kind, index) = tf_config
    before = len(cluster.get("chief", ())) if kind == "worker" else 0
    return _count_machines(tf_config), before + index


def _multi_worker_strategy(
    tf_config: ClusterSpec, timeout_seconds: float
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """The strategy of several machines; returns once all of them have started."""
    machines, worker = _place_in_cluster(tf_config)
    if not machines:
        raise InputError(
            "distribution.strategy=multi_worker needs TF_CONFIG: the addresses of all "
            "machines, and which of them this is (docs/scale.md)."
        )
    print(f"Waiting for the {machines} machines of TF_CONFIG; this is {worker}.", flush=True)
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout_seconds)
    # TensorFlow waits in C++, where Python notices no signal: let the system end the process.
    with _default_signals():
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Inside the block a signal does what the system does with it."""
    before = handlers()
    set_handlers(dict.fromkeys(before, signal.SIG_DFL))
    try:
        yield
    finally:
        set_handlers(before)


def _tpu_strategy() -> tf.distribute.TPUStrategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        first = str(error).splitlines()[0]
        raise InputError(
            f"distribution.strategy=tpu: no TPU answers to TPU_NAME={name}: {first}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _split_processor(count: int) -> None:
    """Makes several logical devices of the processor."""
    if count > 1 and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0":
        raise InputError(
            f"distribution.virtual_devices={count}: TensorFlow's oneDNN kernels fail on them; set "
            "TF_ENABLE_ONEDNN_OPTS=0 in the environment before TensorFlow is imported."
        )
    processor = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(processor, devices)
    except RuntimeError as error:  # TensorFlow is initialized already
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise InputError(
                f"distribution.virtual_devices={count}: TensorFlow has split the processor "
                "otherwise in this process; start a new one."
            ) from error
