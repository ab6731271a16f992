"""Update rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from fcn_tf.config.schema import OptimizerConfig
from fcn_tf.training.schedule import Schedule

# Kingma and Ba, Adam (arXiv 1412.6980), section 2; epsilon is Keras'.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

BIASES = ("bias", "beta")


def make_optimizer(
    config: OptimizerConfig,
    schedule: Schedule,
    precision: str = "float32",
    replicas: int = 1,
) -> keras.optimizers.Optimizer:
    """The Keras optimizer that an `OptimizerConfig` describes.

    Both optimizers clip the norm of the gradient and decay kernels: AdamW with decoupled decay,
    SGD as Caffe does.

    Args:
        config: its name and its settings.
        schedule: the learning rate.
        precision: name of the dtype policy; with mixed_float16 the loss is scaled, since small
            gradients would vanish in float16.
        replicas: number of devices. Keras adds up the gradients of all devices, so each device
            gives its share; see `needs_whole_gradient`.
    """
    if config.name == "sgd":
        optimizer = CaffeSGD(config, schedule, replicas)
    else:
        clip_norm = config.clip_norm and config.clip_norm / replicas
        # Keras computes a decay of 0, too; None is none.
        decay = config.weight_decay or None
        optimizer = AdamW(schedule, weight_decay=decay, global_clipnorm=clip_norm)
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def needs_whole_gradient(config: OptimizerConfig, precision: str) -> bool:
    """Whether each device has to give 1 / replicas of the whole gradient, not its own share.

    Keras clips norms and looks for infinite values before it adds up what the devices give.
    """
    return config.clip_norm is not None or precision == "mixed_float16"


class FusedOptimizer(keras.optimizers.Optimizer):
    """Updates a variable and its slots in one operation.

    A step of a full-width network updates 134 million parameters, so memory bandwidth limits
    its speed. Keras' own rules write intermediate arrays of all parameters. Only AdamW's decay
    is left to Keras; it is one operation before the update.

    Attributes:
        slot_names: names of the arrays that are kept for each variable, of its shape, first 0.
        slots_of: maps a tf.Variable's `ref()` to its slots on the same device.
    """

    slot_names: tuple[str, ...] = ()
    slots_of: Callable[[Any], Sequence[tf.Variable]]

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        on_devices = tf.distribute.get_strategy().experimental_local_results
        slots = {}
        for variable in variables:
            own = [self.add_variable_from_reference(variable, name) for name in self.slot_names]
            whole = [each.value for each in (variable, *own)]
            # On TPUs the whole variable is updated, elsewhere the copy on each device.
            for of, *there in (whole, *zip(*map(on_devices, whole), strict=True)):
                slots[of.ref()] = there
        # Not the dict itself: tf.train.Checkpoint would track it and refuse its keys.
        self.slots_of = slots.__getitem__

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any]) -> None:
        # Once all gradients are there: a kernel that is still read would be copied first.
        with tf.control_dependencies(grads):
            super().apply([tf.identity(gradient) for gradient in grads], trainable_variables)


class AdamW(FusedOptimizer):
    """Adam with decoupled decay (Loshchilov and Hutter, arXiv 1711.05101), as Keras has it."""

    slot_names = ("momentum", "velocity")

    def build(self, variables: Sequence[Any]) -> None:
        if not self.built:
            self.exclude_from_weight_decay(var_list=[v for v in variables if not _is_kernel(v)])
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        momentum, velocity = self.slots_of(variable.ref())
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=BETA_1**step,
            beta2_power=BETA_2**step,
            lr=learning_rate,
            beta1=BETA_1,
            beta2=BETA_2,
            epsilon=EPSILON,
            grad=gradient,
        )


class CaffeSGD(FusedOptimizer):
    """Momentum SGD as Caffe's SGDSolver.

    It clips the norm of the whole gradient, adds decay * w to the gradient of kernels, and
    updates v = momentum * v + rate * lr_mult * gradient; w -= v. Keras' own decay is decoupled,
    and Keras has no learning rate of single weights. Here lr_mult is a factor of the gradient.

    Args:
        config: momentum, clip_norm, weight_decay and bias_multiplier are read.
        schedule: the learning rate.
        replicas: as in `make_optimizer`.
    """

    slot_names = ("momentum",)

    def __init__(self, config: OptimizerConfig, schedule: Schedule, replicas: int) -> None:
        super().__init__(schedule)
        self.config = config
        self.replicas = replicas

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any]) -> None:
        config, clip = self.config, 1.0
        if config.clip_norm is not None:
            norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in grads))
            clip_norm = config.clip_norm / self.replicas
            clip = clip_norm / ops.maximum(norm, clip_norm)

        def scaled(gradient: Any, variable: Any) -> Any:
            return clip * gradient * (config.bias_multiplier if variable.name in BIASES else 1)

        super().apply(list(map(scaled, grads, trainable_variables)), trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        (momentum,) = self.slots_of(variable.ref())
        decay, factor = self.config.weight_decay, self.config.momentum
        if decay and _is_kernel(variable):
            # Added to the momentum before that is multiplied; without momentum, to w itself.
            decayed = momentum if factor else variable
            tf.raw_ops.ResourceApplyGradientDescent(
                var=decayed.handle, alpha=learning_rate * decay / (factor or 1), delta=variable
            )
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=momentum.handle,
            lr=learning_rate,
            grad=gradient,
            momentum=factor,
        )


def _is_kernel(variable: Any) -> bool:
    """Whether a variable decays; biases and normalizations, which have one axis, do not."""
    return len(variable.shape) > 1
