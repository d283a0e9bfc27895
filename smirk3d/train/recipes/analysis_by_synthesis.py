"""The two paths of training, each one function from networks and a batch to a loss.

Neither touches an optimiser. What does not learn in a path is frozen inside, so that `outcome.loss.backward()` gives
gradients to the parameters of the learners only, and only the learners' batch norms move. The learners are left in
the mode, train or eval, in which they come.

Source: METHOD section 7; Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis" (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from smirk3d.datasets.fan_contour import CONTOUR_COUNT
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadMesh
from smirk3d.networks.encoder import Encoder
from smirk3d.params import FaceParams
from smirk3d.render.appearance.semantic_colors import semantic_colors
from smirk3d.train.config import CycleConfig
from smirk3d.train.expression_augmentation import PerturbConfig, perturb
from smirk3d.train.freeze import freeze
from smirk3d.train.loss_context import ENCODERS, LossContext, Networks
from smirk3d.train.losses.losses import (
    LossTerms,
    cycle_losses,
    emotion_loss,
    identity_loss,
    landmark_loss,
    photo_loss,
    regulariser,
    shape_consistency,
    target_loss,
    total,
)
from smirk3d.train.losses.perceptual import perceptual_loss
from smirk3d.train.recipes.neural_synthesis_inputs import DrawnHeads, draw_heads, mask_photos

UpdateTarget = Literal["encoder", "neural_renderer"]
Given = TypeVar("Given")
LossFns = dict[str, Callable[[], Tensor]]
"""Losses by name, to be computed where their weights are above 0."""


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What a step found.

    Attributes:
        terms: The losses. weights: Their factors, for the same names.
        params: What the encoder found in the photos, in the cycle path in the painted ones; on the graph.
        pictures: (B, 3, S, S) each in [0, 1] by name, off the graph.
    """

    terms: LossTerms
    weights: Mapping[str, float]
    params: FaceParams
    pictures: Mapping[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """The sum to be minimised, ()."""
        return total(self.terms, self.weights)


def reconstruction_step(
    networks: Networks, scene: LossContext, batch: TrainingBatch, generator: torch.Generator
) -> StepOutput:
    """Find the heads in photos and, in the stage core, paint the photos anew.

    Args:
        networks: Of which those in `scene.stage.trainable` learn.
        scene: What does not learn; has what its losses need.
        batch: B faces on the device of the networks.
        generator: Of the sampled pixels; of any device.

    Returns:
        Losses with a weight above 0. Pictures: photo, mesh and, in the stage core, masked and
        painted.

    Raises:
        ValueError: The scene or the networks lack what a loss or the stage needs.
    """
    learning = scene.stage.trainable
    with freeze(*(part for name, part in networks.parts().items() if name not in learning)):
        params: FaceParams = networks.encoder(batch.image)
        mesh: HeadMesh = scene.head(params)
        measures = _parameter_measures(scene, batch, params, mesh)
        encoder: Encoder = networks.encoder  # type: ignore[assignment]
        if "pose" in learning and encoder.config.iterative_pose:
            measures = measures | _both_looks(measures, _first_look_measures(encoder, scene, batch, params))
        drawn = draw_heads(mesh, _require(params.camera, "cameras"), batch.image.shape[-1])
        pictures = {"photo": batch.image, "mesh": drawn.image}
        if scene.stage.name == "core":
            paint = _require(networks.neural_renderer, "a neural renderer")
            masked = mask_photos(batch, scene.head, drawn, scene.masking, generator).image
            painted = paint(drawn.image, masked)
            measures |= _photo_measures(scene, batch.image, painted)
            measures["emotion"] = lambda: emotion_loss(
                _require(scene.emotion, "emotion features"), frozen_forward(paint)(drawn.image, masked), batch.image
            )
            pictures |= {"masked": masked, "painted": painted}
        weights = scene.stage.losses.in_use()
        terms = LossTerms({name: measures[name]() for name in weights})
    return StepOutput(terms, weights, params, _detach_images(pictures))


def cycle_step(
    networks: Networks,
    scene: LossContext,
    batch: TrainingBatch,
    first: StepOutput,
    learner: UpdateTarget,
    generator: torch.Generator,
) -> StepOutput:
    """Paint the faces with other expressions, and find these.

    Args:
        networks: Of which the learner learns: the generator, or those encoders that `scene.stage.trainable` names.
        scene: With a cycle path. batch: B faces, those of `first`.
        first: Of `reconstruction_step`; no gradient reaches it.
        learner: Which side learns in this step.
        generator: Of the changes and the sampled pixels; of any device.

    Returns:
        Losses with a weight above 0, that of the shape when the generator learns. Over B · copies faces, the whole
        batch copy by copy: `params` and the pictures wanted_mesh, masked, painted and recovered_mesh.

    Raises:
        ValueError: The stage has no cycle path, the learner is not to be trained, or there is no generator.
    """
    cycle, head = _require(scene.stage.cycle, "a cycle path"), scene.head
    paint, templates = _require(networks.neural_renderer, "a neural renderer"), _require(scene.templates, "templates")
    size = batch.image.shape[-1]
    learning = _learning(scene, learner)
    with freeze(*(part for name, part in networks.parts().items() if name not in learning)):
        copies = torch.arange(len(batch), device=batch.image.device).repeat(cycle.copies)
        batch = batch.take(copies)
        params = FaceParams(**{name: value.detach()[copies] for name, value in first.params.items()})
        wanted, _ = perturb(params, head.spec, templates, generator, _changes(scene, cycle))
        original, changed = _render(scene, params, size), _render(scene, wanted, size)
        masked = mask_photos(batch, head, original, scene.masking, generator, changed).image
        painted = paint(changed.image, masked)
        found: FaceParams = networks.encoder(painted)
    weights = {name: weight for name, weight in asdict(cycle.losses).items() if weight > 0}
    if learner == "encoder":
        weights.pop("shape", None)
    with torch.no_grad():
        recovered = _render(scene, found, size).image
    pictures = {"wanted_mesh": changed.image, "masked": masked, "painted": painted, "recovered_mesh": recovered}
    return StepOutput(cycle_losses(found, wanted, weights), weights, found, _detach_images(pictures))


def frozen_forward(network: nn.Module) -> Callable[..., Tensor]:
    """Return a network as a function that the gradient passes, but without weights that it could reach.

    In train mode its batch norms go by the batch, as the network's own do, but leave its statistics alone.

    Args:
        network: May be wrapped with the network itself as `module`; then what the wrapper adds is left out.
    """
    inner = getattr(network, "module", network)
    weights = {name: parameter.detach() for name, parameter in inner.named_parameters()}
    statistics = {name: buffer.clone() for name, buffer in inner.named_buffers()}
    return lambda *inputs: functional_call(inner, (weights, statistics), inputs)


def _parameter_measures(scene: LossContext, batch: TrainingBatch, params: FaceParams, mesh: HeadMesh) -> LossFns:
    """Return the losses that need no painted photo."""

    def identity() -> Tensor:
        shape = _require(params.shape, "shapes")
        if scene.identity is None:
            return shape_consistency(shape, batch.person)
        return identity_loss(shape, scene.identity(batch.image, batch.landmarks_ndc))

    def target() -> Tensor:
        fields = scene.stage.target_fields
        return target_loss(params, batch.target, batch.target_weight, scene.head.spec, fields)

    return {
        "landmark": lambda: _landmark_measure(scene, batch, params, mesh),
        "identity": identity,
        "expression": lambda: regulariser(params.expression),
        "jaw": lambda: regulariser(params.jaw),
        "target": target,
    }


def _first_look_measures(encoder: Encoder, scene: LossContext, batch: TrainingBatch, params: FaceParams) -> LossFns:
    """Return the losses of pose and camera at the first look, from which no other loss comes."""
    pose, camera = encoder.coarse_pose(batch.image)
    settled = {name: value.detach() for name, value in params.items()} | {"pose": pose, "camera": camera}
    first, fields = FaceParams(**settled), scene.stage.target_fields
    look = FaceParams(pose=pose, camera=camera)
    return {
        "landmark": lambda: _landmark_measure(scene, batch, first, scene.head(first)),
        "target": lambda: target_loss(look, batch.target, batch.target_weight, scene.head.spec, fields),
    }


def _both_looks(second: LossFns, first: LossFns) -> LossFns:
    """Return the losses of the first look, those of the second added."""
    return {name: lambda name=name: first[name]() + second[name]() for name in first}


def _landmark_measure(scene: LossContext, batch: TrainingBatch, params: FaceParams, mesh: HeadMesh) -> Tensor:
    """Compare MediaPipe's points and, as soon as one face has them, the 17 of FAN's outline: one mean over all."""

    def seen(name: str) -> tuple[Tensor, Tensor]:
        points = project_orthographic(mesh.landmarks(name), _require(params.camera, "cameras"))[..., :2]
        return points, scene.head.landmark_embedding(name).weight

    points, trust = seen("mediapipe")
    known, weight = batch.landmarks_ndc, batch.landmark_weight * trust
    if batch.contour_weight.any():
        if "ibug68" not in scene.head.data.landmarks:
            raise Smirk3dError(
                f"head {scene.head.data.name!r} has no outline (landmarks ibug68) for that of the photos; "
                "take shards that were prepared without --contour"
            )
        contour, trust = seen("ibug68")
        points, known = torch.cat([points, contour[:, :CONTOUR_COUNT]], 1), torch.cat([known, batch.contour_ndc], 1)
        weight = torch.cat([weight, batch.contour_weight[:, None] * trust[:CONTOUR_COUNT]], 1)
    return landmark_loss(points, known, weight)


def _photo_measures(scene: LossContext, photo: Tensor, painted: Tensor) -> LossFns:
    return {
        "photo": lambda: photo_loss(painted, photo),
        "perceptual": lambda: perceptual_loss(_require(scene.perceptual, "perceptual features"), painted, photo),
    }


def _learning(scene: LossContext, learner: UpdateTarget) -> list[str]:
    """Return the names of the networks that learn in the cycle path."""
    side = ("neural_renderer",) if learner == "neural_renderer" else ENCODERS
    learning = [name for name in side if name in scene.stage.trainable]
    if not learning:
        raise ValueError(f"the {learner} cannot learn in the cycle path: the stage trains {scene.stage.trainable}")
    return learning


def _render(scene: LossContext, params: FaceParams, size: int) -> DrawnHeads:
    return draw_heads(scene.head(params), _require(params.camera, "cameras"), size)


def _changes(scene: LossContext, cycle: CycleConfig) -> PerturbConfig:
    """Return how expressions change: gaze only where the mesh shows it."""
    return (
        cycle.perturb
        if semantic_colors(scene.head).colors is not None
        else replace(cycle.perturb, arkit_gaze_probability=0.0)
    )


def _detach_images(pictures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: picture.detach().clamp(0, 1) for name, picture in pictures.items()}


def _require(value: Given | None, what: str) -> Given:
    if value is None:
        raise ValueError(f"this training step needs {what}")
    return value
