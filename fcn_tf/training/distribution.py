"""The devices and machines that share a run, and what they tell each other."""

import contextlib
import json
import os
import signal

import tensorflow as tf

from fcn_tf.errors import InputError, RunError
from fcn_tf.training.stopping import handlers

# What TensorFlow raises on a machine whose peer is gone or does not answer.
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
        replicas: int, devices of all machines.
        workers: int, machines.
        worker: int, which of them this is.
        is_chief: whether this one writes the files; it is worker 0.
    """

    def __init__(self, strategy):
        self.strategy = strategy
        self.replicas = strategy.num_replicas_in_sync
        self.workers, self.worker = 1, 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self.workers, self.worker = _place_in_cluster(read_tf_config())
        self.is_chief = self.worker == 0
        self._sum = tf.function(self._sum_over_replicas)

    def distribute(self, make_share):
        """An iterator for `strategy.run` over what every worker makes of its share.

        Args:
            make_share: maps worker and workers to a `tf.data.Dataset`, whose elements
                go to the worker's devices in turn.
        """
        return iter(
            self.strategy.distribute_datasets_from_function(
                lambda context: make_share(context.input_pipeline_id, context.num_input_pipelines)
            )
        )

    def add_up(self, values):
        """Each worker's numbers, added up.

        Args:
            values: ints, as many on every worker; all workers have to call this.

        Returns:
            list of ints.
        """
        if self.workers == 1:
            return list(values)
        (total,) = self._sum([tf.constant(values, tf.int64)])
        return total.numpy().tolist()

    def told_by_chief(self, value):
        """What the chief passes in, on every worker; all have to call this.

        Args:
            value: anything that JSON holds; on the others it does not count.
        """
        if self.workers == 1:
            return value
        text = list(json.dumps(value).encode()) if self.is_chief else []
        (length,) = self.add_up([len(text)])
        return json.loads(bytes(self.add_up(text or [0] * length)))

    def take_from_chief(self, variables):
        """Gives each of some `tf.Variable`s the chief's value; all workers have to call this."""
        if self.workers == 1:
            return
        variables = list(variables)
        values = [tf.identity(variable) for variable in variables]
        if not self.is_chief:
            values = [tf.zeros_like(value) for value in values]
        for variable, value in zip(variables, self._sum(values), strict=True):
            variable.assign(value)

    @contextlib.contextmanager
    def lost_peers_named(self):
        """Turns what TensorFlow raises when another machine is gone into a `RunError`."""
        try:
            yield
        except PEER_ERRORS as error:
            if self.workers == 1:
                raise
            raise RunError(
                "Another of the machines ended or does not answer: see what it says. The last "
                "checkpoint is whole; start all of them again with --resume auto."
            ) from error

    def _sum_over_replicas(self, values):
        def share():
            context = tf.distribute.get_replica_context()
            # Of a worker's devices the first speaks.
            first = context.replica_id_in_sync_group % (self.replicas // self.workers) == 0
            shares = [tf.where(first, value, tf.zeros_like(value)) for value in values]
            # One by one: a list has to be of one dtype.
            return [context.all_reduce("SUM", share) for share in shares]

        totals = self.strategy.run(share)
        return [self.strategy.experimental_local_results(total)[0] for total in totals]


def make_cluster(config):
    """The devices that a `DistributionConfig` names; has to come before all other TensorFlow.

    Returns:
        A `Cluster`; of several machines, once all are there.

    Raises:
        InputError: TF_CONFIG is broken, or there is no such device.
    """
    cluster_spec, task = read_tf_config()
    machines = sum(len(tasks) for tasks in cluster_spec.values())
    if config.virtual_devices:
        _split_processor(config.virtual_devices)
    gpus = tf.config.list_physical_devices("GPU")
    name = config.strategy
    if name == "auto":
        several = len(gpus) > 1 or (config.virtual_devices or 1) > 1
        name = "mirrored" if several else "one_device"
        if os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
            name = "tpu"
        if machines > 1:
            name = "multi_worker"
    if name == "multi_worker":
        if not machines:
            raise InputError(
                "distribution.strategy=multi_worker needs TF_CONFIG: the addresses of all "
                "machines, and which of them this is (docs/scale.md)."
            )
        _, worker = _place_in_cluster((cluster_spec, task))
        print(f"Waiting for the {machines} machines of TF_CONFIG; this is {worker}.", flush=True)
        cluster = Cluster(_connect(config.timeout_seconds))
    elif name == "tpu":
        cluster = Cluster(_tpu_strategy())
    elif name == "mirrored":
        devices = [f"GPU:{index}" for index in range(len(gpus))]
        devices = devices or [f"CPU:{index}" for index in range(config.virtual_devices or 1)]
        cluster = Cluster(tf.distribute.MirroredStrategy(devices))
    else:
        # TensorFlow's default: the first GPU, or else the processor.
        cluster = Cluster(tf.distribute.get_strategy())
    kind = "TPU core" if name == "tpu" else "GPU" if gpus else "CPU"
    count = "one" if cluster.replicas == 1 else cluster.replicas
    plural = "" if cluster.replicas == 1 else "s"
    on = f" of {cluster.workers} machines" if cluster.workers > 1 else ""
    print(f"Training on {count} {kind}{plural}{on} (strategy {name}).", flush=True)
    return cluster


def read_tf_config():
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
        there = ", ".join(f"{name} 0 to {len(tasks) - 1}" for name, tasks in cluster.items())
        raise InputError(f"TF_CONFIG says that this is {kind} {index}, but there are {there}.")
    return cluster, (kind, index)


def _place_in_cluster(tf_config):
    """The number of machines, and this one's among them; a chief comes before the workers."""
    cluster, (kind, index) = tf_config
    before = len(cluster.get("chief", ())) if kind == "worker" else 0
    return sum(len(tasks) for tasks in cluster.values()), before + index


def _connect(timeout_seconds):
    """The strategy of several machines; returns once all are there."""
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout_seconds)
    # TensorFlow waits in C++, where Python hears no signal: let the system end the process.
    with _default_signals():
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


@contextlib.contextmanager
def _default_signals():
    before = handlers()
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tpu_strategy():
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


def _split_processor(count):
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
    except RuntimeError as error:  # TensorFlow has begun
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise InputError(
                f"distribution.virtual_devices={count}: TensorFlow has split the processor "
                "otherwise in this process; start a new one."
            ) from error
