"""One step: people are drawn, and the networks synthesise them with another expression and pose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.datasets.synthetic.rendered_views import Views
from smirk3d.reenactment.transformer.expression_code import face_crops
from smirk3d.reenactment.transformer.network import DecodedLayers, FaceState, Scene, blended, warped_sources
from smirk3d.reenactment.transformer.weights import TransformerNetworks
from smirk3d.train.reenactment.augmentation import augmented, crop_margins, recolored, with_exposure_of
from smirk3d.train.reenactment.config import ReenactmentLossConfig, ReenactmentTrainConfig
from smirk3d.train.reenactment.data import PeopleData, changed_views
from smirk3d.train.reenactment.losses import color_loss, edge_loss, face_weight, regularisation


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """People whose second view is to be shown; the others are sources.

    Attributes:
        views: The views.
        weight: (B, S, S) how much each pixel of the second view counts.
    """

    views: Views
    weight: Tensor

    def to(self, device: str) -> ViewBatch:
        """Return a copy on another device."""
        views = self.views
        parts = (views.images, views.points_ndc, views.weights, views.pose)
        return ViewBatch(Views(*(each.to(device) for each in parts)), self.weight.to(device))


def random_batch(config: ReenactmentTrainConfig, people: PeopleData, generator: torch.Generator) -> ViewBatch:
    """Draw the people of a step: with one source each, or rendered people with two or three."""
    batch, size = config.batch, config.layout.size_px
    if float(torch.rand((), generator=generator)) < batch.several:
        sources = 2 + int(torch.randint(2, (), generator=generator))
        index = torch.randint(len(people.rendered), (batch.several_people,), generator=generator)
        views = _first_views(people.rendered.batch(index), sources + 1)
        return _weighted(augmented(views, generator), 0, config.loss)
    index = torch.randint(len(people.rendered), (batch.rendered,), generator=generator)
    parts = [_first_views(people.rendered.batch(index), 2)]
    if people.changed is not None and batch.changed:
        index = torch.randint(len(people.changed), (batch.changed,), generator=generator)
        parts.append(changed_views(people.changed, index, size))
    n_photos = 0
    if people.photos is not None and batch.people:
        parts.append(people.photos.views(batch.people, size, generator))
        n_photos = batch.people
    views = Views(*(torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])))
    return _weighted(augmented(views, generator), n_photos, config.loss)


def _first_views(views: Views, count: int) -> Views:
    return Views(*(each[:, :count] for each in (views.images, views.points_ndc, views.weights, views.pose)))


def _weighted(views: Views, n_photos: int, settings: ReenactmentLossConfig) -> ViewBatch:
    """Return a batch; of the last `n_photos` people the views are different photos, and only the faces count."""
    size, count = views.images.shape[-1], len(views)
    state = FaceState(views.points_ndc, views.weights, views.pose, views.weights[..., :0])
    near, details = face_weight(state.dense[:, 1], size)
    is_photo = torch.arange(count) >= count - n_photos
    background = torch.where(is_photo, 0.0, settings.background)[:, None, None]
    images = views.images
    if n_photos:
        near_before = face_weight(state.dense[:, 0], size)[0]
        second = with_exposure_of(images[:, 1], near, images[:, 0], near_before)
        second = torch.where(is_photo[:, None, None, None], second, images[:, 1])
        images = torch.stack([images[:, 0], second], dim=1)
    weight = background + near + settings.details * details
    return ViewBatch(Views(images, views.points_ndc, views.weights, views.pose), weight)


@dataclass(frozen=True, eq=False)
class Synthesis:
    """Synthesised pictures and how they came about.

    Attributes:
        picture: (B, 3, S, S).
        decoded: Its layers.
        scene: The encoded sources.
        copied: (B, V, 3, S, S) the sources, warped by the corrected keypoints.
    """

    picture: Tensor
    decoded: DecodedLayers
    scene: Scene
    copied: Tensor


def synthesize(networks: TransformerNetworks, views: Views, codes: Tensor) -> Synthesis:
    """Synthesise the second view of people from the other ones.

    Args:
        networks: The networks.
        views: The views.
        codes: (B, V, L) expression codes of all views.
    """
    states = FaceState(views.points_ndc, views.weights, views.pose, codes)
    sources = [0, *range(2, views.images.shape[1])]

    def of(index: int | list[int]) -> FaceState:
        return FaceState(*(each[:, index] for each in vars(states).values()))

    scene = networks.scene.encode(views.images[:, sources], of(sources))
    decoded = networks.scene(scene, of(1))
    copied = warped_sources(scene, of(1), decoded)
    return Synthesis(blended(decoded, copied), decoded, scene, copied)


def losses_of(
    config: ReenactmentTrainConfig, networks: TransformerNetworks, batch: ViewBatch, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the weighted losses of a batch."""
    views, settings = batch.views, config.loss
    codes, second = _expression_codes(networks, views, generator)
    known = torch.rand(len(views), generator=generator) < config.batch.known_expression
    mask = torch.ones(len(views), views.images.shape[1], 1)
    mask[~known, 1] = 0
    shown = synthesize(networks, views, codes * mask.to(codes.device))
    truth = views.images[:, 1]
    return {
        "picture": color_loss(shown.picture, truth, batch.weight),
        "color": settings.color * color_loss(shown.decoded.color, truth, batch.weight),
        "edges": settings.edges * edge_loss(shown.picture, truth, batch.weight),
        "correction": settings.correction * shown.decoded.correction.square().mean(),
        "regularisation": settings.regularisation * regularisation(codes[:, 1], second),
    }


def _expression_codes(networks: TransformerNetworks, views: Views, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the expression codes (B, V, L) of views, and those of another version of the second ones (B, L).

    Colours and crops differ from those of the pictures, so that the codes cannot contain them.
    """
    count, n_views = views.images.shape[:2]
    images = torch.cat([views.images.flatten(0, 1), views.images[:, 1]])
    points = torch.cat([views.points_ndc.flatten(0, 1), views.points_ndc[:, 1]])
    margins = crop_margins(len(images), generator).to(images.device)
    crops = recolored(face_crops(images, points, margins).cpu(), generator).to(images.device)
    values = networks.expression(crops)
    return values[: count * n_views].unflatten(0, (count, n_views)), values[count * n_views :]
