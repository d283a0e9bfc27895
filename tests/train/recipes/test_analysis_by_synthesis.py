"""Who learns in a training step and who stands still, from what, and that the two paths agree."""

from dataclasses import replace

import pytest
import torch
from training_context import PAINTED_LOSSES, SIZE, SMALL, seeded, small_batch, small_context, small_head, small_networks

from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadModel
from smirk3d.masking import MaskingConfig
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.face_window import FaceWindow
from smirk3d.train.loss_config import CycleConfig, CycleWeights, LossWeights
from smirk3d.train.losses.losses import LossTerms, emotion_loss, landmark_loss, photo_loss
from smirk3d.train.networks import Networks
from smirk3d.train.recipes.analysis_by_synthesis import StepOutput, cycle_step, frozen_forward, reconstruction_step

FREE = ("pose", "shape", "expression", "neural_renderer")
SEES_NOTHING = MaskingConfig(sample_share=0.0, drop_probability=0.0)


@pytest.fixture(scope="module", params=["flame", "arkit"])
def head(request):
    return small_head(request.param)


@pytest.fixture(scope="module")
def flame():
    return small_head()


def state(networks):
    return {
        f"{part}.{name}": value.clone()
        for part, network in networks.parts().items()
        for name, value in network.state_dict().items()
    }


def learners(networks):
    """Names of the networks to whose parameters a gradient came, and that it came to all of them."""
    found = set()
    for name, network in networks.parts().items():
        gradients = [parameter.grad for parameter in network.parameters()]
        if any(gradient is not None for gradient in gradients):
            assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients), name
            assert any(gradient.any() for gradient in gradients), name
            found.add(name)
    return found


def moved(networks, before):
    return {name.split(".")[0] for name, value in state(networks).items() if not torch.equal(value, before[name])}


def gradient(networks, loss):
    parameters = [p for network in networks.parts().values() for p in network.parameters()]
    return torch.autograd.grad(loss, parameters, allow_unused=True)


def evaluating(networks):
    networks.encoder.eval()
    networks.neural_renderer.eval()
    return networks


@pytest.mark.parametrize("name", PAINTED_LOSSES.in_use())
def test_a_loss_is_present_iff_its_weight_is_above_0(flame, name):
    context = small_context(flame, losses=LossWeights(**{name: 2.0}))
    outcome = reconstruction_step(small_networks(flame), context, small_batch(flame, 2), seeded())
    assert outcome.terms.names == (name,) and dict(outcome.weights) == {name: 2.0}
    torch.testing.assert_close(outcome.loss, 2 * outcome.terms[name].mean())


def test_losses_are_those_of_the_photo_and_the_head(flame):
    networks, batch = evaluating(small_networks(flame)), small_batch(flame)
    batch = replace(batch, landmark_weight=torch.rand(4, 478, generator=seeded()))
    found = reconstruction_step(networks, small_context(flame), batch, seeded())
    params, pictures = found.params, found.images
    points = flame(params).landmarks("mediapipe")[..., :2] + params.camera[:, None, 1:]
    points = points * params.camera[:, None, :1] * torch.tensor([1.0, -1.0])
    torch.testing.assert_close(
        found.terms["landmark"], landmark_loss(points, batch.landmarks_ndc, batch.landmark_weight)
    )
    torch.testing.assert_close(found.terms["photo"], photo_loss(pictures["neural_rendering"], batch.image))
    torch.testing.assert_close(found.terms["expression"], params.expression.square().sum(dim=1))
    assert (found.terms["target"] > 0).tolist() == [True, False, False, False]
    assert set(pictures) == {"photo", "mesh", "masked", "neural_rendering"}
    for picture in pictures.values():
        assert picture.shape == (4, 3, SIZE, SIZE) and not picture.requires_grad
        assert picture.min() >= 0 and picture.max() <= 1
    torch.testing.assert_close(
        networks.neural_renderer(pictures["mesh"], pictures["masked"]), pictures["neural_rendering"]
    )


@pytest.mark.parametrize(
    "trainable",
    [("expression", "neural_renderer"), ("pose", "shape", "expression"), ("shape",), ("neural_renderer",), FREE],
)
def test_only_the_trainable_networks_learn_from_photos(head, trainable):
    networks, context = small_networks(head), small_context(head, trainable=trainable)
    before = state(networks)
    reconstruction_step(networks, context, small_batch(head), seeded()).loss.backward()
    assert learners(networks) == set(trainable)
    assert moved(networks, before) == set(trainable)  # running statistics of batch norms
    assert all(parameter.requires_grad for network in networks.parts().values() for parameter in network.parameters())


@pytest.mark.parametrize("learner", ["encoder", "neural_renderer"])
@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_only_the_learner_learns_in_the_cycle_path(head, learner, copies, count):
    networks = evaluating(small_networks(head))
    context, batch = small_context(head, cycle=CycleConfig(copies=copies)), small_batch(head, count)
    first = reconstruction_step(networks, context, batch, seeded())
    (networks.encoder if learner == "encoder" else networks.neural_renderer).train()
    before = state(networks)
    outcome = cycle_step(networks, context, batch, first, learner, seeded(1))
    wanted = {"expression", "jaw", "eyelids"} | ({"shape"} if learner == "neural_renderer" else set())
    assert set(outcome.terms.names) == set(outcome.weights) == wanted
    assert {len(value) for _, value in outcome.params.items()} == {copies * count}
    assert {picture.shape for picture in outcome.images.values()} == {(copies * count, 3, SIZE, SIZE)}
    outcome.loss.backward()
    name = "expression" if learner == "encoder" else "neural_renderer"
    assert learners(networks) == {name} == moved(networks, before)


def test_no_gradient_reaches_the_first_path_from_the_cycle_path(flame):
    networks, context, batch = small_networks(flame), small_context(flame, trainable=FREE), small_batch(flame)
    first = reconstruction_step(networks, context, batch, seeded())
    for _, value in first.params.items():
        value.retain_grad()
    for learner in ("encoder", "neural_renderer"):
        cycle_step(networks, context, batch, first, learner, seeded()).loss.backward()
    assert all(value.grad is None for _, value in first.params.items())


def test_a_weight_of_0_removes_a_term_of_the_cycle(flame):
    networks, batch = small_networks(flame), small_batch(flame, 2)
    context = small_context(flame, cycle=CycleConfig(losses=CycleWeights(expression=2.0, jaw=0.0, eyelids=3.0)))
    first = reconstruction_step(networks, context, batch, seeded())
    outcome = cycle_step(networks, context, batch, first, "neural_renderer", seeded())
    assert dict(outcome.weights) == {"expression": 2.0, "eyelids": 3.0, "shape": 1.0}
    assert outcome.terms.names == ("expression", "eyelids", "shape")


def test_the_gradient_of_emotion_goes_through_the_generator_but_not_into_it(flame):
    networks, batch = small_networks(flame), small_batch(flame)
    context = small_context(flame, losses=LossWeights(emotion=1.0))
    before = state(networks)
    outcome = reconstruction_step(networks, context, batch, seeded())
    outcome.loss.backward()
    assert learners(networks) == {"expression"}
    # The statistics moved once, as with any other loss: they are what they would be after one picture.
    again = small_networks(flame)
    reconstruction_step(again, small_context(flame, losses=LossWeights(photo=1.0)), batch, seeded())
    assert moved(networks, before) == {"expression", "neural_renderer"} and not moved(networks, state(again))


@pytest.mark.parametrize("training", [True, False])
def test_a_network_as_constant_paints_the_same_and_passes_the_same_gradient(flame, training):
    network, batch = small_networks(flame).neural_renderer.train(training), small_batch(flame)
    context, photo = small_context(flame), batch.image
    mesh, masked = torch.rand(4, 3, SIZE, SIZE, generator=seeded()).requires_grad_(), photo.clone()
    constant, before = frozen_forward(network), {k: v.clone() for k, v in network.state_dict().items()}
    value = emotion_loss(context.emotion, constant(mesh, masked), photo).mean()
    (found,) = torch.autograd.grad(value, mesh)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    painted = network(mesh, masked)
    oracle = emotion_loss(context.emotion, painted, photo).mean()
    torch.testing.assert_close(value, oracle)
    torch.testing.assert_close(found, torch.autograd.grad(oracle, mesh)[0])


def test_emotion_adds_nothing_to_the_gradient_of_the_generator(flame):
    networks, batch = small_networks(flame), small_batch(flame)

    def found(**losses):
        outcome = reconstruction_step(networks, small_context(flame, losses=LossWeights(**losses)), batch, seeded())
        learning = [networks.parts()[name].parameters() for name in ("neural_renderer", "expression")]
        return torch.autograd.grad(outcome.loss, [*learning[0], *learning[1]])

    count = len(list(networks.neural_renderer.parameters()))
    both, photo = found(photo=1.0, emotion=5.0), found(photo=1.0)
    for joint, alone in zip(both[:count], photo[:count]):
        torch.testing.assert_close(joint, alone, rtol=1e-4, atol=1e-7)
    assert not any(torch.allclose(joint, alone, rtol=0.01) for joint, alone in zip(both[-2:], photo[-2:]))


def test_halves_of_a_batch_teach_what_the_whole_teaches(flame):
    networks, batch = evaluating(small_networks(flame)), small_batch(flame)
    context = small_context(flame, trainable=FREE, masking=SEES_NOTHING)

    def taught(some):
        return gradient(networks, reconstruction_step(networks, context, some, seeded()).loss)

    whole, *halves = taught(batch), *(taught(batch.take(torch.tensor(rows))) for rows in ([0, 1], [2, 3]))
    for all_of_it, first, second in zip(whole, *halves):
        torch.testing.assert_close(all_of_it, (first + second) / 2, rtol=1e-3, atol=1e-4)


def test_a_seed_decides_everything(head):
    batch = small_batch(head)

    def found(seed):
        networks, context = small_networks(head), small_context(head)
        first = reconstruction_step(networks, context, batch, random := seeded(seed))
        return first, cycle_step(networks, context, batch, first, "neural_renderer", random)

    for first, same, other in zip(found(3), found(3), found(4)):
        assert torch.equal(first.loss, same.loss) and not torch.equal(first.loss, other.loss)
        assert all(torch.equal(first.images[name], same.images[name]) for name in first.images)
        assert not torch.equal(first.images["masked"], other.images["masked"])


def test_a_face_out_of_the_picture_gives_finite_numbers(head):
    networks, batch = small_networks(head), small_batch(head)
    with torch.no_grad():
        networks.encoder.pose_encoder.linear.bias[4] += 50.0
    context = small_context(head, trainable=FREE)
    first = reconstruction_step(networks, context, batch, seeded())
    assert not first.images["mesh"].any()
    outcomes = [
        first,
        *(cycle_step(networks, context, batch, first, who, seeded()) for who in ("encoder", "neural_renderer")),
    ]
    for outcome in outcomes:
        assert outcome.loss.dtype == torch.float32 and outcome.loss.isfinite()
        outcome.loss.backward()
    gradients = [p.grad for network in networks.parts().values() for p in network.parameters()]
    assert all(each is None or each.isfinite().all() for each in gradients)


def test_twenty_steps_on_one_batch_lower_the_landmark_loss(head):
    networks, batch = small_networks(head), small_batch(head)
    context = small_context(head, name="pretrain", trainable=FREE[:3], losses=LossWeights(landmark=100.0), cycle=None)
    optimizer = torch.optim.Adam(networks.encoder.parameters(), 3e-4)
    history = []
    for step in range(20):
        outcome = reconstruction_step(Networks(networks.encoder), context, batch, seeded(step))
        optimizer.zero_grad()
        outcome.loss.backward()
        optimizer.step()
        history.append(outcome.loss.item())
    assert sum(history[-3:]) / 3 < 0.5 * history[0]
    assert set(outcome.images) == {"photo", "mesh"}


def test_what_is_missing_is_named(flame):
    networks, context, batch = small_networks(flame), small_context(flame), small_batch(flame, 1)
    first = reconstruction_step(networks, context, batch, seeded())
    with pytest.raises(ValueError, match="needs a neural renderer"):
        reconstruction_step(Networks(networks.encoder), context, batch, seeded())
    with pytest.raises(ValueError, match="perceptual features"):
        reconstruction_step(networks, replace(context, perceptual=None), batch, seeded())
    with pytest.raises(ValueError, match="needs a cycle path"):
        cycle_step(networks, small_context(flame, cycle=None), batch, first, "encoder", seeded())
    only = small_context(flame, trainable=("neural_renderer",))
    with pytest.raises(ValueError, match="the encoder cannot learn"):
        cycle_step(networks, only, batch, first, "encoder", seeded())
    with pytest.raises(ValueError, match="do not match"):
        _ = StepOutput(LossTerms({}), {}, first.params, {}).loss


def test_contours_need_a_head_with_an_outline(flame):
    networks, batch = small_networks(flame), small_batch(flame, 1)
    batch = replace(batch, contour_weight=torch.ones(1))
    assert torch.isfinite(reconstruction_step(networks, small_context(flame), batch, seeded()).loss)
    landmarks = {"mediapipe": flame.data.landmarks["mediapipe"]}
    plain = HeadModel(replace(flame.data, landmarks=landmarks))
    with pytest.raises(Smirk3dError, match=r"'small' has no outline .* without --contour"):
        reconstruction_step(networks, small_context(plain), batch, seeded())


def test_both_looks_of_an_encoder_learn_where_the_face_is(flame):
    config = EncoderConfig(SMALL, SMALL, SMALL, FaceWindow(size_px=48), iterative_pose=True)
    networks, batch = Networks(Encoder(flame.spec, config, SIZE)), small_batch(flame)
    losses = LossWeights(landmark=1, target=1)
    context = small_context(flame, name="pretrain", trainable=("pose", "shape"), losses=losses, cycle=None)
    found = reconstruction_step(networks, context, batch, seeded())
    found.loss.backward()
    assert learners(networks) == {"pose", "shape"}
    # Where the pose does not learn, nothing is asked of the first look: the loss is that of the second alone.
    settled = small_context(flame, name="pretrain", trainable=("shape",), losses=losses, cycle=None)
    networks.encoder.eval()
    both = reconstruction_step(networks, context, batch, seeded()).terms["landmark"]
    second = reconstruction_step(networks, settled, batch, seeded()).terms["landmark"]
    pose, camera = networks.encoder.coarse_pose(batch.image)
    landmarks = flame(networks.encoder(batch.image).replace(pose=pose)).landmarks("mediapipe")
    first = landmark_loss(project_orthographic(landmarks, camera)[..., :2], batch.landmarks_ndc, batch.landmark_weight)
    torch.testing.assert_close(both, first + second)
