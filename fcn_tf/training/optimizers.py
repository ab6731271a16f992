"""Update rules and learning-rate schedules."""

import keras
from keras import ops

# Chen et al., DeepLab (arXiv 1606.00915), section 4.1: the "poly" policy.
POLY_POWER = 0.9


def make_schedule(config, max_steps):
    """The learning rate over the steps that an `OptimizerConfig` describes."""
    power = POLY_POWER if config.schedule == "poly" else 0.0
    return Schedule(config.learning_rate, config.warmup_steps, max_steps, power)


def make_optimizer(config, schedule):
    """The Keras optimizer that an `OptimizerConfig` describes.

    AdamW clips, and decays kernels, decoupled. SGD leaves all but momentum to
    `caffe_gradients`: Keras' own decay is decoupled, Caffe's is part of the
    gradient, and Keras has no rate for single weights.

    Args:
        config: an `OptimizerConfig`.
        schedule: a `Schedule`.
    """
    if config.name == "sgd":
        return keras.optimizers.SGD(schedule, momentum=config.momentum)
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=config.weight_decay, global_clipnorm=config.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def caffe_gradients(gradients, variables, config):
    """What SGD is given in place of the gradients, so that it updates as Caffe does.

    Caffe's SGDSolver clips the norm of the whole gradient, adds decay * w, and
    takes v = momentum * v + rate * lr_mult * gradient. The rate is a factor of the
    gradient, so that of biases can stand here.

    Args:
        gradients: a tensor for each variable.
        variables: Keras variables; those named "bias" are not decayed.
        config: an `OptimizerConfig`: clip_norm, weight_decay, bias_multiplier.
    """
    clip = 1.0
    if config.clip_norm is not None:
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
        clip = config.clip_norm / ops.maximum(norm, config.clip_norm)
    return [
        config.bias_multiplier * clip * gradient
        if variable.name == "bias"
        else clip * gradient + config.weight_decay * variable
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


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
