"""Semantic colours: gaze, lips and teeth of the open head, plain grey of other heads."""

from dataclasses import replace

import pytest
import torch

from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import IRIS_LEFT, IRIS_RIGHT
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render import Renderer
from smirk3d.render.appearance.semantic_colors import SEMANTIC_APPEARANCE, semantic_colors

SIZE = 192
CAMERA = torch.tensor([[8.0, 0.0, 0.03]])


def render(head, **weights):
    """Return the coloured image (3, S, S) and the mesh."""
    expression = torch.tensor([[weights.get(name, 0.0) for name in ARKIT_NAMES]])
    mesh, colors = head(FaceParams(expression=expression)), semantic_colors(head)
    output = Renderer(colors, SIZE)(mesh.vertices, CAMERA)
    return colors.apply(output.fragments, output.image)[0], mesh


def has_hue(color, reference):
    """Return where a shaded colour has the hue of another."""
    length = color.norm(dim=0).clamp_min(1e-6)
    unit = torch.nn.functional.normalize(torch.tensor(reference), dim=0)
    return ((color / length * unit[:, None, None]).sum(0) > 0.995) & (length > 0.1)


def centroid_px(mask):
    return mask.nonzero().float().mean(0).flip(0)


def test_irises_are_at_their_landmarks(open_head):
    for side in (1.0, -1.0):
        weights = (
            {"eyeLookOutLeft": 0.6, "eyeLookInRight": 0.6}
            if side > 0
            else {"eyeLookInLeft": 0.6, "eyeLookOutRight": 0.6}
        )
        image, mesh = render(open_head, **weights)
        iris = has_hue(image, SEMANTIC_APPEARANCE.iris) | has_hue(image, (0.03, 0.03, 0.03)) & (image.amax(0) < 0.1)
        points = project_orthographic(mesh.landmarks("mediapipe"), CAMERA)[0, :, :2]
        for ring in (IRIS_LEFT, IRIS_RIGHT):
            center = (points[ring[0]] + 1) / 2 * SIZE
            x, y = center.long().tolist()
            around = torch.zeros_like(iris)
            around[y - 8 : y + 9, x - 14 : x + 15] = True
            assert (iris & around).sum() > 8
            assert (centroid_px(iris & around) - center).abs().max() < 3, (side, ring)


def test_a_closed_eye_hides_its_iris_and_no_other(open_head):
    open_eyes, shut = render(open_head)[0], render(open_head, eyeBlinkLeft=1.0)[0]
    counts = [
        has_hue(image, SEMANTIC_APPEARANCE.iris).view(SIZE, 2, SIZE // 2).sum((0, 2)) for image in (open_eyes, shut)
    ]
    assert counts[1][1] == 0 and counts[0][1] > 8  # the subject's left eye is on the right of the image
    assert counts[1][0] == counts[0][0]


def test_skin_stays_grey(open_head):
    image, mesh = render(open_head)
    plain = Renderer(open_head, SIZE)(mesh.vertices, CAMERA, region="face").image[0]
    is_grey = (image.amax(0) - image.amin(0) < 1e-6) & (image[0] > 0.4) & (plain[0] > 0.4)
    assert is_grey.float().mean() > 0.2
    # Smooth normals at the border of the face differ, where it goes on behind lids and lips.
    assert ((image - plain).abs().amax(0)[is_grey] < 1e-4).float().mean() > 0.97


@pytest.mark.parametrize("bare", ["regions", "landmarks"])
def test_heads_without_eyes_or_landmarks_stay_grey(open_head, bare):
    kept = {"regions": {"face": open_head.data.regions["face"]}, "landmarks": {}}
    head = HeadModel(replace(open_head.data, **{bare: kept[bare]}))
    colors, mesh = semantic_colors(head), head(FaceParams(pose=torch.zeros(1, 3)))
    output = Renderer(head, SIZE)(mesh.vertices, CAMERA)
    assert colors.colors is None and torch.equal(colors.faces, head.region_faces("face"))
    assert colors.apply(output.fragments, output.image) is output.image


def test_the_gradient_goes_through_the_grey(open_head):
    colors, mesh = semantic_colors(open_head), open_head(FaceParams(pose=torch.zeros(1, 3)))
    vertices = mesh.vertices.detach().requires_grad_()
    output = Renderer(colors, 64)(vertices, CAMERA)
    colors.apply(output.fragments, output.image).square().sum().backward()
    assert vertices.grad is not None and vertices.grad.abs().sum() > 0
