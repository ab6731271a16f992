"""What can be configured: frozen dataclasses, filled from YAML and from the command line.

Units stand in the names. The values are checked here, so that Python callers and the command line
meet the same messages. The `Args:` lines are what --help shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from fcn_tf.config.losses import FOCAL_GAMMA, OF_ONE_LOSS, check_loss_settings, loss_terms
from fcn_tf.config.mask_values import IGNORE, MaskValues
from fcn_tf.config.networks import (
    GEOMETRY_NAMES,
    NETWORK_KEYS,
    OUTPUT_STRIDES,
    TRUNK_LAYERS,
    TRUNKS,
    UPSAMPLING,
    VARIANT_NAMES,
    VARIANTS,
    WHOLE_NETWORKS,
    NetworkArguments,
    check_network,
)
from fcn_tf.config.types import Size
from fcn_tf.errors import InputError, check

# The names that may be given. They come from the tables, which mypy cannot read; jsonargparse
# would read what stands in `if TYPE_CHECKING`.
if not TYPE_CHECKING:
    VariantName = Literal[VARIANT_NAMES]
    TrunkName = Literal[tuple(TRUNKS)]
    GeometryName = Literal[GEOMETRY_NAMES]
    UpsamplingName = Literal[UPSAMPLING]
    OutputStride = Literal[OUTPUT_STRIDES]
    TrunkLayers = Literal[TRUNK_LAYERS]
else:
    VariantName: TypeAlias = str
    TrunkName: TypeAlias = str
    GeometryName: TypeAlias = str
    UpsamplingName: TypeAlias = str
    OutputStride: TypeAlias = int
    TrunkLayers: TypeAlias = str
# Which way images are mirrored; True is "horizontal".
Flip = bool | Literal["horizontal", "vertical", "both"]
FLIPS = (True, False, "horizontal", "vertical", "both")
# keras.applications' names of what a classifier wants its pixels turned into.
Preprocessing = Literal["caffe", "tf", "torch", "none"]
# The names that data.frequencies uses too, and "none".
ClassWeighting = Literal["none", "median_frequency", "sqrt_median_frequency"]
# The names that `data` uses too; a test holds them equal.
VocConfig = Literal["voc2012", "voc2012_aug", "fcn2015"]
# The keys of `data` that a data set does not know.
OF_FOLDERS = ("data_dir", "layout")
OF_MASKS = ("class_names", "ignore_label", "mask_values")
OF_TFDS = ("tfds_name", "tfds_image", "tfds_mask")
OF_VOC = ("tfds_config", "manual_dir")
OF_FILES = ("bands",)
UNKNOWN_TO = {
    "shapes": (*OF_FOLDERS, *OF_MASKS, *OF_TFDS, *OF_VOC, *OF_FILES, "value_range"),
    "voc": (*OF_FOLDERS, *OF_MASKS, *OF_TFDS, *OF_FILES, "value_range"),
    "folder": ("tfds_dir", *OF_TFDS, *OF_VOC),
    "tfds": (*OF_FOLDERS, *OF_FILES, "tfds_config"),
}


@dataclass(frozen=True)
class DataConfig:
    """The labelled images, and how they are fed to the network.

    Args:
        name: "shapes" (generated scenes), "voc" (PASCAL VOC), "folder" (your own pairs) or "tfds"
            (a data set of TFDS); default folder where data_dir is given, tfds where tfds_name is
            given, else shapes.
        data_dir: the folder of your images and masks.
        layout: where images and masks lie in data_dir, as two patterns,
            "SPLIT/images/* + SPLIT/masks/*_mask" for instance, or by the name of a known layout,
            "labelme" or "coco" for outlines in JSON; default found from the names, and printed.
        tfds_dir: where shapes and voc are prepared; default the folder of TFDS,
            ~/tensorflow_datasets.
        tfds_name: of tfds only, the data set, NAME or NAME/CONFIG, or the folder of a prepared one.
        tfds_image: of tfds only, the feature that holds the images; default found by its type.
        tfds_mask: of tfds only, the feature that holds the masks; default found by its type.
        tfds_config: of voc only, "voc2012", "voc2012_aug" (SBD added to train) or "fcn2015" (the
            paper's split); default voc2012.
        manual_dir: of voc only, the folder that holds the archives or their unpacked folders;
            default download them.
        class_names: names of the classes, in the order of their values, for a data_dir without
            classes.txt.
        ignore_label: a value in your masks that means "not labelled"; 255 always means that.
        mask_values: the class that each value or colour in your masks means, as
            "{0: background, 255: vessel, 7: ignore}", or "cityscapes", "cityscapes_train_ids" or
            "ade20k"; default a value is the number of its class.
        value_range: for images of more than 8 bits a channel, the values that become 0 and 255,
            [0, 4095] for example. Values between them are spread evenly and rounded, those outside
            are clipped. The model keeps the range for prediction. Default such images are refused.
        bands: of folder only, the bands of the image files that become red, green and blue, their
            numbers from 1, [4, 3, 2] for example. The model keeps them for prediction. Default what
            each file says; files of more than three bands that do not say it are refused.
        exif: of folder only, whether images are turned as their EXIF orientation says. "apply"
            turns them as viewers do, "ignore" takes the pixels as they are stored, "auto" turns
            them unless the mask has the size of the stored pixels alone.
        broken: what is done with an image or a mask that cannot be used, "stop" (the training names
            it and keeps its state) or "skip" (the pair is left out and counted).
        validation_fraction: share of train that becomes val where the folder has no val. A hash of
            the name decides, so that an image stays in its split when others are added.
        batch_size: images of a batch, all devices together; a step takes accumulate_steps batches.
        crop_px: size of the crops to train on, 321 or 240x320 (height x width); default whole
            images, padded to the largest of the batch.
        scale_range: two factors; each image is scaled at random by a factor between them.
        flip: true or "horizontal" mirrors half of the images left to right, "vertical" half of them
            top to bottom, "both" does one and the other; false mirrors none.
        rotate_degrees: turn each image at random by up to so many degrees, either way.
        color: brightness, contrast and saturation each vary by this fraction.
    """

    name: Literal["shapes", "voc", "folder", "tfds"] | None = None
    data_dir: str | None = None
    layout: str | None = None
    tfds_dir: str | None = None
    tfds_name: str | None = None
    tfds_image: str | None = None
    tfds_mask: str | None = None
    tfds_config: VocConfig | None = None
    manual_dir: str | None = None
    class_names: list[str] | None = None
    ignore_label: int | None = None
    mask_values: MaskValues | None = None
    value_range: tuple[float, float] | None = None
    bands: tuple[int, int, int] | None = None
    exif: Literal["auto", "apply", "ignore"] = "auto"
    broken: Literal["stop", "skip"] = "stop"
    validation_fraction: float = 0.2
    batch_size: int = 4
    crop_px: Size | None = None
    scale_range: tuple[float, float] = (1.0, 1.0)
    flip: Flip = True
    rotate_degrees: float = 0.0
    color: float = 0.0

    def __post_init__(self) -> None:
        check(
            self.ignore_label is None or 0 <= self.ignore_label <= 255,
            "data.ignore_label",
            self.ignore_label,
            "between 0 and 255",
        )
        check_value_range("data.value_range", self.value_range)
        check_bands("data.bands", self.bands)
        fraction = self.validation_fraction
        check(0 < fraction < 1, "data.validation_fraction", fraction, "above 0 and below 1")
        _check_positive("data.batch_size", self.batch_size)
        if self.mask_values is not None:
            object.__setattr__(self, "mask_values", _mask_values(self.mask_values))
            self._check_ignore_label(_mask_values(self.mask_values))
        if self.crop_px is not None:
            object.__setattr__(self, "crop_px", Size.of(self.crop_px))
        for side in self.crop_px or ():
            _check_positive("data.crop_px", side)
        low, high = self.scale_range
        check(0 < low <= high, "data.scale_range", [low, high], "[low, high] with 0 < low <= high")
        check(0 <= self.color < 1, "data.color", self.color, "at least 0 and below 1")
        degrees = self.rotate_degrees
        check(0 <= degrees <= 180, "data.rotate_degrees", degrees, "at least 0 and at most 180")
        check(self.flip in FLIPS, "data.flip", self.flip, f"one of {', '.join(map(str, FLIPS))}")

    def _check_ignore_label(self, mask_values: MaskValues) -> None:
        name = dict(mask_values).get(self.ignore_label if self.ignore_label is not None else -1)
        allowed = f"another value or null, as data.mask_values gives this one to {name}"
        check(name in (None, IGNORE), "data.ignore_label", self.ignore_label, allowed)


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Args:
        trunk: the classifier that the network is built on; the other variants have their own.
        width: factor on the filters of the trunk's convolutions; 1 as published.
        head_units: filters of fc6 and fc7, of VGG and AlexNet only; 4096 as published.
        fc6_kernel: side of the kernel of VGG's fc6; 7 as published, or 1 for a light head.
        dropout: rate after fc6 and fc7, or after the last map of other trunks; after the coarsest
            maps of unet and segnet. SegNet as published has 0.
        geometry: "same" (aligned and exact up to the border) or "caffe" (the published padding and
            crops, for published weights); of unet "same" or "valid" (no padding, as published, and
            a mirrored border).
        upsampling: which upsampling layers are trained; all start bilinear. "fixed" trains none,
            "learned" all but the last, "learned_all" all, "nonlinear" all with an activation
            between them.
        output_stride: px between the scores of fcn32s on VGG. Below 32 the last pools have no
            stride, and the layers behind them are dilated. Of torchvision's ResNets 8 or 16; 32
            means 8.
        multi_grid: factors on the rates of the three blocks of the last stage of torchvision's
            ResNets, [1, 2, 4] in the paper of DeepLab v3; default none, as torchvision.
        auxiliary_weight: weight of the loss of a second head, which torchvision's fcn_* and
            deeplabv3_* have in training alone; 0.5 as published, 0 for none.
        weights: what the trunk starts from, "imagenet" (downloaded once), the Keras file of that
            classifier (.keras, .weights.h5, .h5), or "none" for random weights.
        weights_layers: which layers of VGG take these weights, "all", or "convolutions" for a light
            head, a file without the top, segnet, or unet_on_trunk.
        trainable: which layers are trained, "all", or "score" for the score layers alone.
    """

    trunk: TrunkName = "vgg16"
    width: float = 1.0
    head_units: int = 4096
    fc6_kernel: int = 7
    dropout: float = 0.5
    geometry: GeometryName = "same"
    upsampling: UpsamplingName = "learned"
    output_stride: OutputStride = 32
    multi_grid: list[int] = field(default_factory=list)
    auxiliary_weight: float = 0.0
    weights: str = "none"
    weights_layers: TrunkLayers = "all"
    trainable: Literal["all", "score"] = "all"


@dataclass(frozen=True)
class LossConfig:
    """The loss over the labelled pixels of a batch.

    Args:
        name: "cross_entropy", "dice" (the overlap of each class, over the whole batch), "focal"
            (cross-entropy that counts hard pixels more) or "ohem" (of the hard pixels alone), or a
            sum of them, "cross_entropy + dice".
        reduction: "mean", the weighted mean over the pixels, "pixels", the weighted sum over the
            pixels divided by their number (SegNet's), or "sum" over the pixels divided by the
            number of images (Caffe's normalize: false).
        class_weights: a factor for each class, of its pixels, or in dice of the class in the mean;
            "median_frequency", factors from the masks of train that make up for rare classes;
            "sqrt_median_frequency", the square roots of these; or "none".
        sample_fraction: the probability with which each labelled pixel counts, drawn again at
            every step (the paper's patchwise training). Not for dice and ohem.
        focal_gamma: of focal only, the loss is multiplied by (1 - p) ** focal_gamma, with p the
            probability of the pixel's class; default 2.
        ohem_share: of ohem only, the share of the labelled pixels of each image that counts, those
            whose own class has the lowest probabilities.
        ohem_threshold: of ohem only, the pixels count whose own class has a probability below it.
    """

    name: str = "cross_entropy"
    reduction: Literal["mean", "pixels", "sum"] = "mean"
    class_weights: list[float] | ClassWeighting | None = None
    sample_fraction: float = 1.0
    focal_gamma: float | None = None
    ohem_share: float | None = None
    ohem_threshold: float | None = None

    def __post_init__(self) -> None:
        fraction = self.sample_fraction
        check(0 < fraction <= 1, "loss.sample_fraction", fraction, "above 0 and at most 1")
        if not isinstance(self.class_weights, str):
            for weight in self.class_weights or ():
                check(weight >= 0, "loss.class_weights", self.class_weights, "0 or above, each")
        own = {key: getattr(self, key) for key in OF_ONE_LOSS}
        check_loss_settings(self.name, self.reduction, fraction, own)
        if "focal" in loss_terms(self.name) and self.focal_gamma is None:
            object.__setattr__(self, "focal_gamma", FOCAL_GAMMA)


@dataclass(frozen=True)
class OptimizerConfig:
    """The update rule.

    Args:
        name: "adamw", or "sgd" (with momentum, and weight decay as part of the gradient).
        learning_rate: the largest learning rate of the run.
        momentum: of sgd only.
        weight_decay: of kernels; biases and normalization layers have none.
        bias_multiplier: of sgd only, the learning rate of biases divided by that of kernels; the
            authors used 2.
        clip_norm: largest norm of the whole gradient, without weight decay; default no limit.
        schedule: "constant", or "poly", a factor (1 - step / max_steps) ** 0.9.
        warmup_steps: steps over which the learning rate first rises from 0.
        ema: decay of the running average of the weights; 0 for no average. Where there is one, it
            is evaluated and saved.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    bias_multiplier: float = 1.0
    clip_norm: float | None = None
    schedule: Literal["constant", "poly"] = "poly"
    warmup_steps: int = 0
    ema: float = 0.0

    def __post_init__(self) -> None:
        check(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "above 0")
        for key in ("momentum", "ema"):
            value = getattr(self, key)
            check(0 <= value < 1, f"optimizer.{key}", value, "at least 0 and below 1")
        plain = self.name == "sgd" or self.bias_multiplier == 1
        check(plain, "optimizer.bias_multiplier", self.bias_multiplier, "1 with adamw")
        for key in ("weight_decay", "bias_multiplier", "warmup_steps"):
            value = getattr(self, key)
            check(value >= 0, f"optimizer.{key}", value, "0 or above")
        check(
            self.clip_norm is None or self.clip_norm > 0,
            "optimizer.clip_norm",
            self.clip_norm,
            "above 0",
        )


@dataclass(frozen=True)
class TrainingConfig:
    """The course of a run.

    Args:
        max_steps: the step at which the run ends.
        eval_every_steps: steps between evaluations on val; the last step is always evaluated.
            Default a tenth of max_steps.
        log_every_steps: steps between lines in metrics.jsonl.
        checkpoint_every_steps: steps between checkpoints, from which a run is resumed; default
            eval_every_steps. A better model, a stop and the end of the run leave one too.
        max_minutes: minutes after which this command evaluates, saves and ends.
        patience: evaluations without a gain in mean IU on val after which the run ends; default
            no limit.
        steps_per_call: most steps in one call of the compiled loop; a call takes fewer where steps
            are slow. The progress bar moves once a call.
        accumulate_steps: batches whose gradients make one step, for batches that do not fit into
            memory. Batch normalization normalizes each of them alone.
        batch_norm_pass: before each evaluation, give batch normalizations the statistics of a pass
            over train, as SegNet's authors do; without it they are running averages.
        precision: what the layers compute in; logits and loss are always float32. mixed_float16
            scales the loss.
        jit_compile: compile the step with XLA; give crop_px with it.
        deterministic: ask TensorFlow for operations that give the same bits again on the same
            machine; slower on GPUs. On processors also switch oneDNN off (docs/scale.md).
        profile_steps: first and last step of a profile for TensorBoard.
    """

    max_steps: int = 10000
    eval_every_steps: int | None = None
    log_every_steps: int = 50
    checkpoint_every_steps: int | None = None
    max_minutes: float | None = None
    patience: int | None = None
    steps_per_call: int = 10
    accumulate_steps: int = 1
    batch_norm_pass: bool = False
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool = False
    deterministic: bool = False
    profile_steps: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for key in ("max_steps", "log_every_steps", "steps_per_call", "accumulate_steps"):
            _check_positive(f"training.{key}", getattr(self, key))
        for key in ("eval_every_steps", "checkpoint_every_steps", "patience"):
            if getattr(self, key) is not None:
                _check_positive(f"training.{key}", getattr(self, key))
        minutes, profile = self.max_minutes, self.profile_steps
        check(minutes is None or minutes > 0, "training.max_minutes", minutes, "above 0")
        in_order = profile is None or 1 <= profile[0] <= profile[1]
        check(in_order, "training.profile_steps", profile, "[first, last] with 1 <= first <= last")


@dataclass(frozen=True)
class DistributionConfig:
    """The devices that share the work.

    Args:
        strategy: "auto" takes several machines if TF_CONFIG names them, else a TPU, else all GPUs,
            else one device; it prints what it took.
        virtual_devices: number of devices that the processor is split into, to try mirrored
            training without GPUs.
        timeout_seconds: of several machines, the time after which they give up waiting for one that
            does not answer.
    """

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"] = "auto"
    virtual_devices: int | None = None
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        devices, seconds = self.virtual_devices, self.timeout_seconds
        if devices is not None:
            _check_positive("distribution.virtual_devices", devices)
            fits = self.strategy in ("auto", "mirrored")
            allowed = "left out, or with distribution.strategy=mirrored"
            check(fits, "distribution.virtual_devices", devices, allowed)
        check(seconds > 0, "distribution.timeout_seconds", seconds, "above 0")


@dataclass(frozen=True)
class Config:
    """A run.

    Args:
        variant: fcn32s, fcn16s, fcn8s (each starts from the coarser one) or fcn8s_atonce; or
            torchvision's fcn_resnet50, fcn_resnet101, deeplabv3_resnet50, deeplabv3_resnet101,
            deeplabv3_mobilenetv3 or lraspp_mobilenetv3; or unet; or segnet or segnet_basic; or
            unet_on_trunk or deeplabv3_on_trunk, the head of that network on model.trunk.
        seed: of weights, shuffling, augmentation, dropout and loss sampling.
        workdir: the run's folder; default runs/<config>-<variant>.
        resume: "always" continues the run in workdir, by default the newest of its name; "auto"
            does so if there is one, and begins it if not.
        init_from: a run folder or .keras file whose weights the run starts from, often of a coarser
            variant (32s, then 16s, then 8s).
        data: the labelled images.
        model: the network.
        loss: the loss.
        optimizer: the update rule.
        training: the course of the run.
        distribution: the devices that share the work.
    """

    variant: VariantName = "fcn8s"
    seed: int = 0
    workdir: str | None = None
    resume: Literal["never", "auto", "always"] = "never"
    init_from: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    distribution: DistributionConfig = field(default_factory=DistributionConfig)

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**31, "seed", self.seed, "between 0 and 2147483647")
        # Defaults that depend on other values are resolved here and not in the sections,
        # whose own defaults jsonargparse shows and compares.
        data, training = self.data, self.training
        name = data.name
        if name is None:
            name = "folder" if data.data_dir else "tfds" if data.tfds_name else "shapes"
        if name == "folder":
            allowed = "the folder of your images and masks"
            check(data.data_dir is not None, "data.data_dir", data.data_dir, allowed)
        if name == "tfds":
            check(data.tfds_name is not None, "data.tfds_name", None, "the name of a data set")
        for key in UNKNOWN_TO[name]:
            value = getattr(data, key)
            check(value is None, f"data.{key}", value, f"left out with data.name={name}")
        fits = name == "folder" or data.exif == "auto"
        check(fits, "data.exif", data.exif, f"left out with data.name={name}")
        tfds_config = (data.tfds_config or "voc2012") if name == "voc" else None
        eval_steps = training.eval_every_steps or math.ceil(training.max_steps / 10)
        checkpoint_steps = training.checkpoint_every_steps or eval_steps
        check_network(self.network, prefix="model.")
        self._check_auxiliary()
        self._check_start()
        rate = self.optimizer.learning_rate
        reduction = self.loss.reduction
        allowed = f"1e-9 or more with loss.reduction={reduction}: the authors' rates are for a sum"
        moves = reduction == "sum" or rate >= 1e-9
        check(moves, "optimizer.learning_rate", rate, allowed)
        object.__setattr__(self, "data", replace(data, name=name, tfds_config=tfds_config))
        training = replace(
            training, eval_every_steps=eval_steps, checkpoint_every_steps=checkpoint_steps
        )
        object.__setattr__(self, "training", training)

    @property
    def network(self) -> NetworkArguments:
        """The arguments of `build_fcn` that choose the architecture."""
        values = {key: getattr(self.model, key) for key in NETWORK_KEYS}
        return NetworkArguments(variant=self.variant, **values)

    def _check_auxiliary(self) -> None:
        """Whether the network has an auxiliary head that is trained."""
        weight, network = self.model.auxiliary_weight, WHOLE_NETWORKS.get(self.variant)
        key = "model.auxiliary_weight"
        check(0 <= weight < math.inf, key, weight, "0 or above, and finite")
        has_head = network is not None and network.has_auxiliary
        with_head = ", ".join(name for name, one in WHOLE_NETWORKS.items() if one.has_auxiliary)
        allowed = f"0 with {self.variant}: {with_head} have an auxiliary head"
        check(has_head or weight == 0, key, weight, allowed)
        trains_trunk = self.model.trainable == "all"
        allowed = "0 with model.trainable=score: the head trains the trunk"
        check(trains_trunk or weight == 0, key, weight, allowed)

    def _check_start(self) -> None:
        """Whether the weights to start from go together with the network and with each other."""
        model = self.model
        given = model.weights != "none"
        both = given and self.init_from is not None
        allowed = "none with init_from: weights come from one place"
        check(not both, "model.weights", model.weights, allowed)
        whole = model.weights_layers == "all"
        allowed = "all without model.weights"
        check(whole or given, "model.weights_layers", model.weights_layers, allowed)
        if model.trainable == "score":
            # The heads of TRUNK_HEADS have more layers than those that score.
            is_fcn = self.variant in VARIANTS
            started = self.init_from is not None or (given and whole and is_fcn)
            allowed = "all, or give all layers of model.weights, or init_from, to a trunk"
            allowed = allowed if is_fcn else f"all, or give init_from, with {self.variant}"
            check(started, "model.trainable", "score", allowed)
        if given:
            self._check_classifier()

    def _check_classifier(self) -> None:
        """Whether Keras has the classifier whose weights the trunk starts from."""
        model, network = self.model, WHOLE_NETWORKS.get(self.variant)
        name = network.convolutions_of if network else model.trunk
        of = self.variant if network else f"trunk={name}"
        is_fcn = self.variant in VARIANTS
        allowed = f"none with {of}: Keras has no such classifier; start from a model (init_from)"
        known = name is not None and TRUNKS[name].classifier is not None
        check(known, "model.weights", model.weights, allowed)
        assert name is not None  # so says the check
        trunk = TRUNKS[name]
        whole, of_vgg = model.weights_layers == "all", trunk.build == "vgg"
        allowed = f"all with trunk={name}"
        check(of_vgg or whole, "model.weights_layers", model.weights_layers, allowed)
        allowed = f"convolutions with {self.variant}, which has no others of {trunk.classifier}"
        has_others = is_fcn or not of_vgg
        check(has_others or not whole, "model.weights_layers", model.weights_layers, allowed)
        if model.weights != "imagenet":
            return
        widths = trunk.imagenet_widths
        allowed = f"{' or '.join(f'{w:g}' for w in widths)} with model.weights=imagenet"
        check(model.width in widths, "model.width", model.width, allowed)
        for key, published in (("fc6_kernel", 7), ("head_units", 4096)):
            value = getattr(model, key)
            allowed = f"{published} with all of ImageNet's layers, or give "
            allowed += "model.weights_layers=convolutions"
            check(value == published or not (of_vgg and whole), f"model.{key}", value, allowed)


def _mask_values(given: object) -> MaskValues:
    try:
        return MaskValues.of(given)
    except InputError as error:
        raise InputError(f"data.mask_values: {error}.") from error


def check_bands(key: str, bands: Sequence[int] | None) -> None:
    """Refuses what are no bands of an image file.

    Args:
        key: what messages call them.
        bands: the numbers of those that become red, green and blue, from 1, or None.

    Raises:
        InputError: they are not three numbers of at least 1.
    """
    if bands is not None:
        are_bands = len(bands) == 3 and all(isinstance(one, int) and one >= 1 for one in bands)
        check(are_bands, key, list(bands), "three numbers of bands, from 1: [red, green, blue]")


def check_value_range(key: str, value_range: tuple[float, float] | None) -> None:
    """Refuses a range of pixel values that is none.

    Args:
        key: what messages call it.
        value_range: the values that become 0 and 255, or None.
    """
    if value_range is not None:
        low, high = value_range
        is_range = math.isfinite(low) and math.isfinite(high) and low < high
        check(is_range, key, list(value_range), "[low, high], numbers with low < high")


def _check_positive(key: str, value: float) -> None:
    check(value >= 1, key, value, "at least 1")
