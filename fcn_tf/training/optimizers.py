"""Update rules and learning-rate schedules."""

import keras
import tensorflow as tf
from keras import ops

# Chen et al., DeepLab (arXiv 1606.00915), section 4.1: the "poly" policy.
POLY_POWER = 0.9
# Kingma and Ba, Adam (arXiv 1412.6980), section 2; epsilon is Keras'.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

BIASES = ("bias", "beta")


def make_schedule(config, max_steps):
    """The learning rate over the steps that an `OptimizerConfig` describes."""
    power = POLY_POWER if config.schedule == "poly" else 0.0
    return Schedule(config.learning_rate, config.warmup_steps, max_steps, power)


def make_optimizer(config, schedule, precision="float32", replicas=1):
    """The Keras optimizer that an `OptimizerConfig` describes.

    AdamW clips, and decays kernels, decoupled; SGD does both as Caffe does.

    Args:
        config: an `OptimizerConfig`.
        schedule: a `Schedule`.
        precision: the policy's name; mixed_float16 scales the loss, whose gradients
            would vanish in float16.
        replicas: int, devices. Keras adds up what they give it, so that each gives its
            share of the gradient; see `needs_whole_gradient`.
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


def needs_whole_gradient(config, precision):
    """Whether the share of each device has to be 1 / replicas of the whole gradient.

    Keras takes norms, and looks for infinite values, before it adds up the shares.
    """
    return config.clip_norm is not None or precision == "mixed_float16"


class FusedOptimizer(keras.optimizers.Optimizer):
    """Moves a variable and its slots in one operation, where Keras writes arrays in between.

    A step of a full-width network moves 134 million parameters: memory is what it waits for.
    Only AdamW's decay is Keras' own, an operation before it.

    Attributes:
        slot_names: what is kept of each variable, of its shape, zero at first.
        slots_of: function of a tf.Variable's `ref()`: its slots, on the same device.
    """

    slot_names = ()

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        on_devices = tf.distribute.get_strategy().experimental_local_results
        slots = {}
        for variable in variables:
            own = [self.add_variable_from_reference(variable, name) for name in self.slot_names]
            whole = [each.value for each in (variable, *own)]
            # On TPUs what is updated is the whole, elsewhere the copy on each device.
            for of, *there in (whole, *zip(*map(on_devices, whole), strict=True)):
                slots[of.ref()] = there
        # Not the dict itself: a checkpoint would follow it, and refuse its keys.
        self.slots_of = slots.__getitem__

    def apply(self, grads, trainable_variables):
        # All gradients first: a kernel that is updated while one still reads it is copied.
        with tf.control_dependencies(grads):
            super().apply([tf.identity(gradient) for gradient in grads], trainable_variables)


class AdamW(FusedOptimizer):
    """Adam with decoupled decay (Loshchilov and Hutter, arXiv 1711.05101), as Keras has it."""

    slot_names = ("momentum", "velocity")

    def build(self, variables):
        if not self.built:
            self.exclude_from_weight_decay(var_list=[v for v in variables if not _is_kernel(v)])
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
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

    It clips the norm of the whole gradient, adds decay * w to that of kernels, and takes
    v = momentum * v + rate * lr_mult * gradient; w -= v. Keras' own decay is decoupled,
    and it has no rate for single weights; lr_mult, a factor of the gradient, can stand here.

    Args:
        config: an `OptimizerConfig`: momentum, clip_norm, weight_decay, bias_multiplier.
        schedule: a `Schedule`.
        replicas: int, as in `make_optimizer`.
    """

    slot_names = ("momentum",)

    def __init__(self, config, schedule, replicas=1):
        super().__init__(schedule)
        self.config = config
        self.replicas = replicas

    def apply(self, grads, trainable_variables):
        config, clip = self.config, 1.0
        if config.clip_norm is not None:
            norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in grads))
            clip_norm = config.clip_norm / self.replicas
            clip = clip_norm / ops.maximum(norm, clip_norm)

        def changed(gradient, variable):
            return clip * gradient * (config.bias_multiplier if variable.name in BIASES else 1)

        super().apply(list(map(changed, grads, trainable_variables)), trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        (momentum,) = self.slots_of(variable.ref())
        decay, factor = self.config.weight_decay, self.config.momentum
        if decay and _is_kernel(variable):
            # Into the momentum before it is multiplied; where there is none, into w itself.
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


def _is_kernel(variable):
    """Whether a variable decays; biases and normalizations, of one axis, do not."""
    return len(variable.shape) > 1


@keras.saving.register_keras_serializable("fcn_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise over `warmup_steps`, times (1 - step / max_steps) ** power."""

    def __init__(self, learning_rate, warmup_steps, max_steps, power):
        super().__init__()
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.max_steps = max_steps
        self.power = power

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = ops.minimum(1.0, (step + 1) / max(self.warmup_steps, 1))
        rest = ops.maximum(0.0, 1 - step / self.max_steps)
        return self.learning_rate * rise * rest**self.power

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "max_steps": self.max_steps,
            "power": self.power,
        }
