"""What a process with two virtual devices finds; test_distribution.py starts it.

It writes numbers to the .npz file that it is given: those of small.py, and those of a whole
`Run`.
"""

import sys

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.schema import DistributionConfig
from fcn_tf.errors import InputError
from fcn_tf.training import evaluation
from fcn_tf.training.distribution import Cluster, make_cluster
from fcn_tf.training.run import Run
from tests.training.runs import (
    change,
    give_chances,
    labels_given,
    uneven_config,
    uneven_source,
)
from tests.training.small import (
    CASES,
    OF_ALL_LOSSES,
    small_run,
    statistics,
    statistics_of_train,
    take_steps,
)
from tests.training.tiled import TILES, counted, network


def main(file):
    two = make_cluster(DistributionConfig(virtual_devices=2))
    found = {"devices": two.replicas}
    # The two devices are those of two machines, and then those of the first of two.
    for name, devices in (("sum over machines", 2), ("sum of a machine", 4)):
        cluster = Cluster(two.strategy)
        cluster.workers, cluster.replicas = 2, devices
        found[name] = cluster.sum_over_workers([3, 5])
    for name, is_chief in (("copied by chiefs", True), ("copied by others", False)):
        variable = tf.Variable([1.5, 2.0])
        cluster.is_chief = is_chief
        cluster.copy_variables_from_chief([variable])
        found[name] = variable.numpy()

    for case, options in CASES.items():
        steps = take_steps(small_run(two, **options))
        found |= {f"{case}: {name}": value for name, value in steps.items()}
    steps = take_steps(small_run(two, loss=OF_ALL_LOSSES, accumulate_steps=2))
    found |= {f"all losses: {name}": value for name, value in steps.items()}
    found["statistics"] = statistics(small_run(two, normalized=True))
    found["statistics of train"] = statistics_of_train(small_run(two, normalized=True))

    source = uneven_source()
    with pytest.raises(InputError) as refused:
        Run(change(uneven_config(), "data", batch_size=3), source, two)
    found["refusal of a batch of three"] = str(refused.value)
    run = Run(uneven_config(), source, two)
    found["labels of steps"] = labels_given(run, skip_samples=8)
    states = two.strategy.experimental_local_results(run.variables["random/0"])
    found["states of dropout"] = [state.numpy() for state in states]
    give_chances(run.model)
    scores = run.evaluate()
    found["val loss"], found["val mean IU"] = scores["loss"], scores["mean_iou"]

    run = small_run(two)
    with two.strategy.scope():
        run.model = network()
    for name, value in TILES.items():
        setattr(evaluation, name, value)
    for name, value in zip(("confusion", "loss", "labelled"), counted(run, 2), strict=True):
        found[f"tiles: {name}"] = value
    np.savez(file, **found)


if __name__ == "__main__":
    main(sys.argv[1])
