"""The open head is symmetric and anatomically plausible, and its 52 blendshapes do what their names state."""

from dataclasses import replace

import pytest
import torch

from smirk3d.authoring.open_head import OpenHeadConfig, build_open_head, sphere_center
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES, mirror_name
from smirk3d.head.data import JOINT_NAMES
from smirk3d.head.landmark_indices import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    FACE_OVAL,
    IBUG68,
    IRIS_LEFT,
    IRIS_RIGHT,
    LIPS_INNER,
    LIPS_OUTER,
    MIRROR,
)
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.rasterize import rasterize

MIRROR_X = torch.tensor([-1.0, 1.0, 1.0])
# iBUG's own table of partners, by its numbering from 0.
IBUG68_MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
]  # fmt: skip


def with_weights(head: HeadModel, **weights: float) -> FaceParams:
    expression = torch.zeros(52)
    for name, value in weights.items():
        expression[ARKIT_NAMES.index(name)] = value
    return FaceParams(expression=expression)


def moved(head: HeadModel, **weights: float) -> torch.Tensor:
    return head(with_weights(head, **weights)).vertices - head.v_template


def landmarks_moved(head: HeadModel, **weights: float) -> torch.Tensor:
    return head(with_weights(head, **weights)).landmarks("mediapipe") - head(FaceParams()).landmarks("mediapipe")


def visible_pixels(head: HeadModel, vertices: torch.Tensor, region: str, size: int = 192) -> int:
    """Return the number of pixels of a frontal render that show a region."""
    ndc = (vertices - head.v_template.mean(0)) * torch.tensor([6.0, -6.0, -6.0])
    visible = rasterize(ndc[None], head.faces, size).face_index
    inside = head.region_mask(region)[head.faces].all(dim=1)
    return int(inside[visible[visible >= 0]].sum())


# Symmetry


def test_the_template_is_symmetric(open_head):
    partner = open_head.data.mirror_vertices
    assert partner[partner].equal(torch.arange(len(partner)))
    mirrored = open_head.v_template[partner] * MIRROR_X
    torch.testing.assert_close(mirrored, open_head.v_template, atol=1e-6, rtol=0)


def test_each_identity_component_is_symmetric_or_antisymmetric(open_head):
    sign = open_head.data.shape_mirror_sign
    assert set(sign.tolist()) == {1.0, -1.0}
    mirrored = open_head.shapedirs[open_head.data.mirror_vertices] * MIRROR_X[:, None] * sign
    torch.testing.assert_close(mirrored, open_head.shapedirs, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", [name for name in ARKIT_NAMES if name.endswith("Left")])
def test_left_mirrored_is_right(open_head, name):
    left, right = moved(open_head, **{name: 1.0}), moved(open_head, **{mirror_name(name): 1.0})
    mirrored = left[open_head.data.mirror_vertices] * MIRROR_X
    torch.testing.assert_close(mirrored, right, atol=1e-6, rtol=0)
    assert (left - right).abs().max() > 5e-4


def test_mirrored_parameters_give_the_mirrored_head(open_head):
    random = torch.Generator().manual_seed(0)
    shape, expression = torch.randn(open_head.n_shape, generator=random), torch.rand(52, generator=random)
    pose = torch.tensor([0.2, 0.4, -0.3])
    # Rotations are axial vectors: in a mirror across x, y and z of the axis change sign.
    mirrored = FaceParams(
        shape=shape * open_head.data.shape_mirror_sign,
        expression=expression[list(ARKIT_MIRROR)],
        pose=pose * torch.tensor([1.0, -1.0, -1.0]),
    )
    vertices = open_head(FaceParams(shape=shape, expression=expression, pose=pose)).vertices
    expected = vertices[open_head.data.mirror_vertices] * MIRROR_X
    torch.testing.assert_close(open_head(mirrored).vertices, expected, atol=2e-6, rtol=0)


# Anatomy


def test_size_and_frame(open_head):
    low, high = open_head.v_template.amin(0), open_head.v_template.amax(0)
    assert 0.13 < high[0] - low[0] < 0.25 and 0.2 < high[1] - low[1] < 0.45
    face = open_head.v_template[open_head.region_mask("face")].mean(0)
    ears = open_head.v_template[open_head.region_mask("ears")].mean(0)
    assert face[2] > ears[2] + 0.04  # +Z out of the face
    left = open_head.v_template[open_head.region_mask("left_eyeball")]
    assert left[:, 0].min() > 0.01  # +X to the subject's left
    assert open_head.v_template[open_head.region_mask("scalp"), 1].mean() > face[1]  # +Y up


def test_triangles_face_outwards(open_head):
    for region in ("left_eyeball", "right_eyeball", "scalp"):  # the parts that are nearly balls
        a, b, c = open_head.v_template[open_head.region_faces(region)].unbind(1)
        center = open_head.v_template[open_head.region_mask(region)].mean(0)
        outwards = (torch.linalg.cross(b - a, c - a) * ((a + b + c) / 3 - center)).sum(1)
        assert (outwards > 0).float().mean() > 0.97, region
    edges = torch.cat([open_head.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    assert len(edges.unique(dim=0)) == len(edges)  # neighbours run through their edge in opposite directions


def test_joints_lie_inside_the_head(open_head):
    joints = open_head.data.J_regressor @ open_head.v_template
    low, high = open_head.v_template.amin(0), open_head.v_template.amax(0)
    assert ((joints > low) & (joints < high))[1:].all()  # the root is at the foot of the neck, below the cut
    assert joints[:3, 0].abs().max() < 1e-6
    assert joints[JOINT_NAMES.index("neck")].norm() < 1e-6  # the origin
    root, neck, jaw, left_eye, right_eye = joints
    assert root[1] < neck[1] and jaw[2] > neck[2] and jaw[1] < left_eye[1]
    torch.testing.assert_close(left_eye * MIRROR_X, right_eye, atol=1e-6, rtol=0)


def test_eyes_rotate_about_the_centre_of_the_eyeball_for_every_identity(open_head):
    random = torch.Generator().manual_seed(1)
    for shape in (torch.zeros(open_head.n_shape), *torch.randn(3, open_head.n_shape, generator=random)):
        mesh = open_head(FaceParams(shape=shape))
        for side, joint in (("left_eyeball", 3), ("right_eyeball", 4)):
            center = sphere_center(mesh.vertices[open_head.region_mask(side)])
            assert (mesh.joints[joint] - center).norm() < 5e-4


def test_sphere_center_of_a_cap():
    random = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(30, 3, generator=random), dim=1)
    direction[:, 2] = direction[:, 2].abs()
    center = torch.tensor([0.03, -0.02, 0.1])
    torch.testing.assert_close(sphere_center(center + 0.012 * direction), center, atol=1e-6, rtol=0)


def test_skinning_weights(open_head):
    weights = open_head.data.lbs_weights
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)), atol=1e-5, rtol=0)
    torch.testing.assert_close(open_head.data.J_regressor.sum(1), torch.ones(5), atol=1e-4, rtol=0)
    for side, joint in (("left_eyeball", "left_eye"), ("right_eyeball", "right_eye"), ("lower_teeth", "jaw")):
        assert weights[open_head.region_mask(side), JOINT_NAMES.index(joint)].min() > 0.95


def test_identity_keeps_the_variance_and_is_ordered(open_head):
    assert float(open_head.data.meta["kept_variance"]) >= 0.99
    variance = open_head.shapedirs.square().sum((0, 1))
    assert variance[:10].min() > 3 * variance[50:].max()
    # One standard deviation of all components moves the face by millimetres, not by centimetres.
    face = open_head.shapedirs[open_head.region_mask("face")].square().sum((1, 2)).sqrt()
    assert 0.001 < face.mean() < 0.012


# Blendshapes


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_every_blendshape_moves_something_and_nothing_far(open_head, name):
    distance = moved(open_head, **{name: 1.0}).norm(dim=1)
    assert 0.0015 < distance.max() < 0.06
    assert distance[open_head.region_mask("scalp")].max() < 0.006


@pytest.mark.parametrize("name", GAZE_NAMES)
def test_gaze_rotates_the_eyeball_rigidly(open_head, name):
    own, other = ("left_eyeball", "right_eyeball")[:: 1 if name.endswith("Left") else -1]
    mesh = open_head(with_weights(open_head, **{name: 1.0}))
    ball, rest = mesh.vertices[open_head.region_mask(own)], open_head.v_template[open_head.region_mask(own)]
    apart = [torch.cdist(v.double(), v.double()) for v in (ball, rest)]
    torch.testing.assert_close(apart[0], apart[1], atol=1e-5, rtol=0)
    assert (ball - rest).norm(dim=1).max() > 0.002
    untouched = open_head.region_mask(other)
    torch.testing.assert_close(mesh.vertices[untouched], open_head.v_template[untouched], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("eyeLookOutLeft", (1, 0)),
        ("eyeLookInLeft", (-1, 0)),
        ("eyeLookOutRight", (-1, 0)),
        ("eyeLookInRight", (1, 0)),
        ("eyeLookUpLeft", (0, 1)),
        ("eyeLookUpRight", (0, 1)),
        ("eyeLookDownLeft", (0, -1)),
        ("eyeLookDownRight", (0, -1)),
    ],
)
def test_gaze_directions_follow_their_names(open_head, name, direction):
    iris = IRIS_LEFT[0] if name.endswith("Left") else IRIS_RIGHT[0]
    step = landmarks_moved(open_head, **{name: 1.0})[iris, :2]
    along = float(step @ torch.tensor(direction, dtype=torch.float32))
    assert along > 0.002 and along > 4 * (step.norm().square() - along**2).clamp_min(0).sqrt()


@pytest.mark.parametrize(("side", "upper", "lower"), [("Right", 159, 145), ("Left", 386, 374)])
def test_blinking_closes_the_eye_on_its_side(open_head, side, upper, lower):
    blink = with_weights(open_head, **{f"eyeBlink{side}": 1.0})
    neutral, closed = (open_head(p).landmarks("mediapipe") for p in (FaceParams(), blink))
    gap = [float((points[upper] - points[lower]).norm()) for points in (neutral, closed)]
    assert gap[1] < 0.35 * gap[0]
    ball = f"{side.lower()}_eyeball"
    visible = [visible_pixels(open_head, head.vertices, ball) for head in map(open_head, (FaceParams(), blink))]
    assert visible[0] > 40 and visible[1] < 0.05 * visible[0]
    other = "left_eyeball" if side == "Right" else "right_eyeball"
    assert visible_pixels(open_head, open_head(blink).vertices, other) > 40


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_the_eyelid_parameter_is_the_blink(open_head, side):
    lids = torch.tensor([1.0, 0.0]) if side == "Left" else torch.tensor([0.0, 1.0])
    closed = open_head(FaceParams(eyelids=lids)).vertices
    torch.testing.assert_close(closed - open_head.v_template, moved(open_head, **{f"eyeBlink{side}": 1.0}))


def test_opening_the_jaw_moves_the_lower_teeth_and_the_tongue(open_head):
    step = moved(open_head, jawOpen=1.0)
    teeth = step[open_head.region_mask("lower_teeth")]
    assert teeth[:, 1].max() < -0.005
    assert step[open_head.region_mask("tongue"), 1].mean() < 0.6 * teeth[:, 1].mean()
    assert step[open_head.region_mask("upper_teeth")].abs().max() < 1e-4
    readout = open_head.data.jaw_readout[ARKIT_NAMES.index("jawOpen")]
    assert readout[0] > 0.15 and readout[1:].abs().max() < 0.01  # a nod of the jaw, downwards


def test_jaw_sideways(open_head):
    chin = 152
    for name, sign in (("jawLeft", 1), ("jawRight", -1)):
        assert sign * landmarks_moved(open_head, **{name: 1.0})[chin, 0] > 0.003
    assert landmarks_moved(open_head, jawForward=1.0)[chin, 2] > 0.003


@pytest.mark.parametrize(
    ("name", "point", "axis", "sign"),
    [
        ("mouthSmileLeft", 291, 1, 1),
        ("mouthSmileRight", 61, 1, 1),
        ("mouthFrownLeft", 291, 1, -1),
        ("mouthStretchLeft", 291, 0, 1),
        ("mouthStretchRight", 61, 0, -1),
        ("mouthLeft", 0, 0, 1),
        ("mouthRight", 0, 0, -1),
        ("mouthPucker", 291, 0, -1),
        ("mouthUpperUpLeft", 310, 1, 1),
        ("mouthLowerDownLeft", 318, 1, -1),
        ("browInnerUp", 336, 1, 1),
        ("browOuterUpLeft", 300, 1, 1),
        ("browDownLeft", 295, 1, -1),
        ("cheekPuff", 425, 2, 1),
        ("noseSneerLeft", 358, 1, 1),
        ("eyeWideLeft", 386, 1, 1),
        ("eyeSquintLeft", 374, 1, 1),
    ],
)
def test_blendshapes_move_the_face_as_their_names_state(open_head, name, point, axis, sign):
    assert sign * landmarks_moved(open_head, **{name: 1.0})[point, axis] > 7e-4


@pytest.mark.parametrize("name", ["mouthSmileLeft", "mouthStretchRight"])
def test_smiles_fold_the_cheek_softly(open_head, name):
    data = open_head.data
    edges = torch.cat([data.faces[:, [0, 1]], data.faces[:, [1, 2]], data.faces[:, [2, 0]]])
    edges = torch.cat([edges, edges.flip(1)]).unique(dim=0)
    count = torch.bincount(edges[:, 0], minlength=len(data.v_template))[:, None]
    regions = data.regions
    cheek = regions["face"] & ~regions["lips"] & ~regions["eye_regions"] & ~regions["nose"]
    offsets = data.expressiondirs[..., data.expression_names.index(name)]
    around = torch.zeros_like(offsets).index_add(0, edges[:, 0], offsets[edges[:, 1]]) / count.clamp_min(1)
    assert (offsets - around)[cheek].norm(dim=1).max() < 0.06 * offsets.norm(dim=1).max()


def test_the_tongue_comes_out(open_head):
    step = moved(open_head, tongueOut=1.0, jawOpen=0.5) - moved(open_head, jawOpen=0.5)
    assert step[open_head.region_mask("tongue"), 2].max() > 0.02
    assert step[open_head.region_mask("upper_teeth")].abs().max() < 1e-4


# Landmarks


def test_landmark_sets_are_complete(open_head):
    for name, count in (("mediapipe", 478), ("ibug68", 68), ("ibug68_static", 68)):
        embedding = open_head.landmark_embedding(name)
        assert len(embedding) == count
        assert (embedding.barycentric >= 0).all() and (embedding.weight > 0).all()
        assert (embedding.weight <= 1).all() and (embedding.face_index < len(open_head.faces)).all()
        torch.testing.assert_close(embedding.barycentric.sum(1), torch.ones(count))


def test_landmarks_are_mirror_images_of_their_partners(open_head):
    for name, partner in (("mediapipe", list(MIRROR)), ("ibug68", IBUG68_MIRROR)):
        points = open_head(FaceParams()).landmarks(name)
        assert open_head.landmark_embedding(name).mirror.tolist() == partner
        assert (points[partner] * MIRROR_X - points).norm(dim=1).max() < 1e-4


def test_midline_points(open_head):
    points = open_head(FaceParams()).landmarks("mediapipe")
    middle = [k for k in range(478) if MIRROR[k] == k]
    assert points[middle, 0].abs().max() < 1e-4
    assert middle[int(points[middle, 2].argmax())] in (1, 4)  # tip of the nose
    down = [10, 151, 9, 168, 6, 197, 1, 2, 0, 13, 17, 152]  # forehead to chin
    assert (points[down, 1].diff() < 0).all()


def test_points_lie_on_their_parts(open_head):
    def region_of(points: tuple[int, ...], name: str) -> torch.Tensor:
        triangles = open_head.faces[open_head.landmark_embedding("mediapipe").face_index[list(points)]]
        return open_head.region_mask(name)[triangles].any(dim=1).float().mean()

    assert region_of(IRIS_LEFT, "left_eyeball") == 1 and region_of(IRIS_RIGHT, "right_eyeball") == 1
    assert region_of(EYE_LEFT, "left_eye_region") > 0.9
    assert region_of(LIPS_OUTER, "lips") > 0.6 and region_of(LIPS_INNER, "lips") > 0.6
    assert region_of(tuple(k for k in range(468)), "eyeballs") == 0


def test_rings_keep_their_order(open_head):
    points = open_head(FaceParams()).landmarks("mediapipe")
    for ring in (LIPS_INNER, LIPS_OUTER):
        assert points[ring[0], 0] < 0 < points[ring[10], 0]  # from the right corner to the left one
        upper, lower = points[list(ring[2:9])], points[list(ring[12:19])].flip(0)
        closed_m = 2e-4 if ring is LIPS_INNER else -0.005  # the inner lips touch, the outer ones are apart
        assert (upper[:, 1] > lower[:, 1] - closed_m).all()
    iris_left = points[list(IRIS_LEFT)]
    assert (iris_left[1:] - iris_left[0]).norm(dim=1).max() < 0.009
    for brow, eye_x in ((BROW_LEFT, points[386, 0]), (BROW_RIGHT, points[159, 0])):
        center = points[list(brow)].mean(0)
        assert abs(center[0] - eye_x) < 0.01 and 0.005 < center[1] - points[386, 1] < 0.04
    oval = points[list(FACE_OVAL)]
    assert oval[9, 0] > 0.05 and oval[27, 0] < -0.05  # first over the subject's left


@pytest.mark.parametrize("column", range(1, 10))
def test_lip_points_lie_on_their_own_lip(open_head, column):
    # The jaw takes the lower lip along and leaves the upper one behind, least so next to the corners.
    step = landmarks_moved(open_head, jawOpen=1.0)[:, 1]
    for ring in (LIPS_INNER, LIPS_OUTER):
        upper, lower = step[ring[column]], step[ring[20 - column]]
        assert lower < upper - 0.003 and lower < -0.01


def test_ibug68_order(open_head):
    points = open_head(FaceParams()).landmarks("ibug68")
    mediapipe = open_head(FaceParams()).landmarks("mediapipe")
    torch.testing.assert_close(points, mediapipe[list(IBUG68)])
    assert points[0, 0] < -0.05 < 0.05 < points[16, 0]  # the subject's right comes first
    assert (points[:17, 0].diff() > -5e-4).all()  # the sides of the face are vertical above
    assert points[8, 1] < points[:17, 1].min() + 5e-4  # the chin is flat below
    assert (points[17:27, 0].diff() > 0).all() and (points[27:31, 1].diff() < 0).all()
    assert (points[31:36, 0].diff() > 0).all()
    assert points[36:42, 0].mean() < 0 < points[42:48, 0].mean()
    assert points[[37, 38], 1].min() > points[[40, 41], 1].max()
    assert points[48, 0] < 0 < points[54, 0] and points[51, 1] > points[62, 1] > points[57, 1]
    assert (points[61:64] - points[[67, 66, 65]]).norm(dim=1).max() < 5e-4  # the inner lips touch


def test_ranges_and_names(open_head):
    assert open_head.expression_names == ARKIT_NAMES
    assert (open_head.data.expression_low, open_head.data.expression_high) == (0.0, 1.0)
    assert open_head.data.meta["licence"].count("CC0") == 1
    assert open_head.uv.min() >= 0 and open_head.uv.max() <= 1
    assert open_head.faces_uv.max() < len(open_head.uv) and open_head.faces_uv.shape == open_head.faces.shape


@pytest.mark.slow
def test_building_again_gives_the_same_head(open_head):
    small = build_open_head(OpenHeadConfig(samples=64, components=20))
    assert small.shapedirs.shape == (len(small.v_template), 3, 20)
    assert small.faces.equal(open_head.faces) and small.landmarks == {}
    # Blendshapes come from the source and do not depend on the people, except through the size of the mean face.
    scale = small.expressiondirs.norm() / open_head.expressiondirs.norm()
    assert abs(scale - 1) < 0.05
    torch.testing.assert_close(small.expressiondirs, open_head.expressiondirs * scale, atol=2e-6, rtol=0)
    for name, mask in open_head.data.regions.items():
        assert mask.equal(small.regions[name])
    face = open_head.region_mask("face")
    assert (small.v_template - open_head.v_template)[face].norm(dim=1).mean() < 0.004
    HeadModel(replace(small, landmarks=open_head.data.landmarks))(FaceParams()).landmarks("ibug68")
