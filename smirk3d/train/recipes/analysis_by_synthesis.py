"""The two paths of analysis by neural synthesis, each a function from networks and a batch to losses.

Neither touches an optimiser. Networks that a path does not update are frozen inside, so that `output.loss.backward()`
yields gradients for the updated parameters only, and only the updated networks' batch norms move. Updated networks
keep the mode, train or eval, in which they come.

Source: Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis", CVPR 2024; docs/method.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from smirk3d.datasets.fan_contour import CONTOUR_COUNT
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadMesh
from smirk3d.networks.encoder import Encoder, predicts_arkit
from smirk3d.params import FaceParams
from smirk3d.render.appearance.semantic_colors import semantic_colors
from smirk3d.train.expression_augmentation import PerturbConfig, perturb
from smirk3d.train.freeze import freeze
from smirk3d.train.loss_config import CycleConfig
from smirk3d.train.loss_context import LossContext
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
from smirk3d.train.networks import ENCODERS, Networks
from smirk3d.train.recipes.neural_synthesis_inputs import RenderedHeads, mask_photos, render_heads
from smirk3d.train.schedule import UpdateTarget

Required = TypeVar("Required")
LossFns = dict[str, Callable[[], Tensor]]
"""Losses by name, evaluated only where their weight is above 0."""


@dataclass(frozen=True, eq=False)
class StepOutput:
    """Losses, predictions and sample images of one path.

    Attributes:
        terms: The losses, unweighted.
        weights: Their weights, for the same names.
        params: Prediction of the encoder for the photos, in the cycle path for the neural renderings; on the graph.
        images: (B, 3, S, S) each in [0, 1] by name, detached.
    """

    terms: LossTerms
    weights: Mapping[str, float]
    params: FaceParams
    images: Mapping[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """The weighted sum to be minimised, ()."""
        return total(self.terms, self.weights)


def reconstruction_step(
    networks: Networks, context: LossContext, batch: TrainingBatch, generator: torch.Generator
) -> StepOutput:
    """Reconstruction path: predict the heads of photos and, in the stage core, re-synthesise the photos.

    Args:
        networks: The networks; those in `context.stage.trainable` are updated.
        context: Head, masking and frozen networks that the losses need.
        batch: B faces on the device of the networks.
        generator: Randomness of the sampled pixels; on any device.

    Returns:
        Losses with a weight above 0. Images: photo, mesh and, in the stage core, masked and neural_rendering.

    Raises:
        ValueError: The context or the networks lack what a loss or the stage needs.
        Smirk3dError: The batch has face contours and the head has no contour landmarks.
    """
    trainable = context.stage.trainable
    with freeze(*(part for name, part in networks.parts().items() if name not in trainable)):
        params: FaceParams = networks.encoder(batch.image)
        mesh: HeadMesh = context.head(params)
        losses = _parameter_losses(context, batch, params, mesh)
        encoder: Encoder = networks.encoder  # type: ignore[assignment]
        if "pose" in trainable and encoder.config.iterative_pose:
            losses = losses | _sums(losses, _coarse_pose_losses(encoder, context, batch, params))
        heads = render_heads(mesh, _require(params.camera, "cameras"), batch.image.shape[-1])
        images = {"photo": batch.image, "mesh": heads.image}
        if context.stage.name == "core":
            renderer = _require(networks.neural_renderer, "a neural renderer")
            masked = mask_photos(batch, context.head, heads, context.masking, generator).image
            rendering = renderer(heads.image, masked)
            losses |= _image_losses(context, batch.image, rendering)
            # The emotion loss trains the encoder only: with weights that no gradient reaches, the renderer cannot
            # lower it by painting an emotion that the mesh does not show.
            losses["emotion"] = lambda: emotion_loss(
                _require(context.emotion, "emotion features"),
                frozen_forward(renderer)(heads.image, masked),
                batch.image,
            )
            images |= {"masked": masked, "neural_rendering": rendering}
        weights = context.stage.losses.in_use()
        terms = LossTerms({name: losses[name]() for name in weights})
    return StepOutput(terms, weights, params, _detached(images))


def cycle_step(
    networks: Networks,
    context: LossContext,
    batch: TrainingBatch,
    first: StepOutput,
    updated: UpdateTarget,
    generator: torch.Generator,
) -> StepOutput:
    """Cycle path: render the faces with augmented expressions and predict these.

    Args:
        networks: The networks. `updated` selects the neural renderer or the encoders in `context.stage.trainable`.
        context: Head, masking and templates, with a cycle path.
        batch: B faces, those of `first`.
        first: Output of `reconstruction_step`; no gradient reaches it.
        updated: Which side is updated in this step.
        generator: Randomness of the augmentation and the sampled pixels; on any device.

    Returns:
        Losses with a weight above 0; that of the shape only for the neural renderer. Over B · copies faces, the whole
        batch copy by copy: `params` and the images target_mesh, masked, neural_rendering and recovered_mesh.

    Raises:
        ValueError: The stage has no cycle path, `updated` is not trainable, or there is no neural renderer.
    """
    cycle, head = _require(context.stage.cycle, "a cycle path"), context.head
    renderer, templates = _require(networks.neural_renderer, "a neural renderer"), context.templates
    size = batch.image.shape[-1]
    trained = _trained_names(context, updated)
    with freeze(*(part for name, part in networks.parts().items() if name not in trained)):
        copies = torch.arange(len(batch), device=batch.image.device).repeat(cycle.copies)
        batch = batch.take(copies)
        params = FaceParams(**{name: value.detach()[copies] for name, value in first.params.items()})
        perturbation = _perturbation(context, cycle)
        target, _ = perturb(params, head.spec, _require(templates, "templates"), generator, perturbation)
        original, changed = _render(context, params, size), _render(context, target, size)
        masked = mask_photos(batch, head, original, context.masking, generator, changed).image
        rendering = renderer(changed.image, masked)
        prediction: FaceParams = networks.encoder(rendering)
    weights = cycle.losses.in_use(predicts_arkit(head.spec))
    if updated == "encoder":
        weights.pop("shape", None)
    with torch.no_grad():
        recovered = _render(context, prediction, size).image
    images = {"target_mesh": changed.image, "masked": masked, "neural_rendering": rendering}
    images["recovered_mesh"] = recovered
    return StepOutput(cycle_losses(prediction, target, weights), weights, prediction, _detached(images))


def frozen_forward(network: nn.Module) -> Callable[..., Tensor]:
    """Return a network as a function that passes gradients to its inputs but not to its weights.

    In train mode its batch norms normalise by the batch, as the network's own do, but leave its statistics alone.

    Args:
        network: May be wrapped with the network itself as `module`; then what the wrapper adds is left out.
    """
    inner = getattr(network, "module", network)
    weights = {name: parameter.detach() for name, parameter in inner.named_parameters()}
    statistics = {name: buffer.clone() for name, buffer in inner.named_buffers()}
    return lambda *inputs: functional_call(inner, (weights, statistics), inputs)


def _parameter_losses(context: LossContext, batch: TrainingBatch, params: FaceParams, mesh: HeadMesh) -> LossFns:
    """Return the losses that need no neural rendering."""

    def identity() -> Tensor:
        shape = _require(params.shape, "shapes")
        if context.identity is None:
            return shape_consistency(shape, batch.person)
        return identity_loss(shape, context.identity(batch.image, batch.landmarks_ndc))

    def target() -> Tensor:
        fields = context.stage.target_fields
        return target_loss(params, batch.target, batch.target_weight, context.head.spec, fields)

    return {
        "landmark": lambda: _landmark_loss(context, batch, params, mesh),
        "identity": identity,
        "expression": lambda: regulariser(params.expression, is_mean=context.stage.published_losses),
        "jaw": lambda: regulariser(params.jaw, is_mean=context.stage.published_losses),
        "target": target,
    }


def _coarse_pose_losses(encoder: Encoder, context: LossContext, batch: TrainingBatch, params: FaceParams) -> LossFns:
    """Return the losses of the coarse pose and camera, which no other loss reaches when the pose is regressed twice."""
    pose, camera = encoder.coarse_pose(batch.image)
    fixed = {name: value.detach() for name, value in params.items()} | {"pose": pose, "camera": camera}
    coarse, fields = FaceParams(**fixed), context.stage.target_fields
    pose_only = FaceParams(pose=pose, camera=camera)
    return {
        "landmark": lambda: _landmark_loss(context, batch, coarse, context.head(coarse)),
        "target": lambda: target_loss(pose_only, batch.target, batch.target_weight, context.head.spec, fields),
    }


def _sums(final: LossFns, coarse: LossFns) -> LossFns:
    """Return the losses of the coarse pose plus those of the final one."""
    return {name: lambda name=name: coarse[name]() + final[name]() for name in coarse}


def _landmark_loss(context: LossContext, batch: TrainingBatch, params: FaceParams, mesh: HeadMesh) -> Tensor:
    """Compare MediaPipe's landmarks and, where the batch has any, FAN's 17 contour points.

    It is one mean over all, or in the published form the sum of a mean of each.
    """

    def projected(name: str) -> tuple[Tensor, Tensor]:
        points = project_orthographic(mesh.landmarks(name), _require(params.camera, "cameras"))[..., :2]
        return points, context.head.landmark_embedding(name).weight

    points, embedding_weight = projected("mediapipe")
    target, weight = batch.landmarks_ndc, batch.landmark_weight * embedding_weight
    if batch.contour_weight.any():
        if "ibug68" not in context.head.data.landmarks:
            raise Smirk3dError(
                f"head {context.head.data.name!r} has no outline (landmarks ibug68) for that of the photos; "
                "take shards that were prepared without --contour"
            )
        contour, embedding_weight = projected("ibug68")
        contour_weight = batch.contour_weight[:, None] * embedding_weight[:CONTOUR_COUNT]
        if context.stage.published_losses:
            outline = landmark_loss(contour[:, :CONTOUR_COUNT], batch.contour_ndc, contour_weight)
            return landmark_loss(points, target, weight) + outline
        points, target = torch.cat([points, contour[:, :CONTOUR_COUNT]], 1), torch.cat([target, batch.contour_ndc], 1)
        weight = torch.cat([weight, contour_weight], 1)
    return landmark_loss(points, target, weight)


def _image_losses(context: LossContext, photo: Tensor, rendering: Tensor) -> LossFns:
    def perceptual() -> Tensor:
        features = _require(context.perceptual, "perceptual features")
        return perceptual_loss(features, rendering, photo, sum_maps=context.stage.published_losses)

    return {"photo": lambda: photo_loss(rendering, photo), "perceptual": perceptual}


def _trained_names(context: LossContext, updated: UpdateTarget) -> list[str]:
    """Return the names of the networks that the cycle path updates."""
    side = ("neural_renderer",) if updated == "neural_renderer" else ENCODERS
    names = [name for name in side if name in context.stage.trainable]
    if not names:
        raise ValueError(f"the {updated} cannot learn in the cycle path: the stage trains {context.stage.trainable}")
    return names


def _render(context: LossContext, params: FaceParams, size: int) -> RenderedHeads:
    return render_heads(context.head(params), _require(params.camera, "cameras"), size)


def _perturbation(context: LossContext, cycle: CycleConfig) -> PerturbConfig:
    """Return how expressions change; gaze changes only where the mesh shows it."""
    shows_gaze = semantic_colors(context.head).colors is not None
    return cycle.perturb if shows_gaze else replace(cycle.perturb, arkit_gaze_probability=0.0)


def _detached(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: image.detach().clamp(0, 1) for name, image in images.items()}


def _require(value: Required | None, what: str) -> Required:
    if value is None:
        raise ValueError(f"this training step needs {what}")
    return value
