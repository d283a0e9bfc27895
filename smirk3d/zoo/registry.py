"""The registry of packaged artefacts: one entry for each file in `smirk3d/zoo/files`, model cards aside."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from smirk3d.errors import Smirk3dError


@dataclass(frozen=True)
class Artefact:
    """One packaged file and where it comes from.

    Attributes:
        name: Identifier, for `find`.
        file: File name in `smirk3d/zoo/files`.
        sha256: Hexadecimal SHA-256 digest of the file's content.
        licence: SPDX identifier of the licence.
        card: File name of the model card, in the same folder.
        head: Name of the head model that the artefact belongs to.
        recipe: Command that makes the file, run in a source checkout.
        description: What the artefact is, in one sentence.
    """

    name: str
    file: str
    sha256: str
    licence: str
    card: str
    head: str
    recipe: str
    description: str


OPEN_HEAD = Artefact(
    name="open_head",
    file="open_head.pack",
    sha256="39d76dd84ae3674480a4ec67c76141b1f0fc7d18f53d2f076a35fdd34ba6d9d4",
    licence="CC0-1.0",
    card="open_head.md",
    head="open",
    recipe="smirk3d head build --force --out smirk3d/zoo/files/open_head.pack",
    description="The open head: mesh, identity space, ARKit-52 blendshapes, joints, regions and landmarks.",
)
ENCODER = Artefact(
    name="encoder",
    file="encoder.safetensors",
    sha256="426ff26872facc1fc6d8d8f835ff1c8cc666b0cbb7686afb137988681aef4e75",
    licence="MIT",
    card="encoder.md",
    head="open",
    recipe="smirk3d train configs/recipes/photo_textured.yaml",
    description="The encoder: predicts the open head's parameters from a face crop.",
)
NEURAL_RENDERER = Artefact(
    name="neural_renderer",
    file="renderer.safetensors",
    sha256="78913ee6ca5366f27ada16fbd540583399f5b1902fe1774b7580a8ca3c839591",
    licence="MIT",
    card="renderer.md",
    head="open",
    recipe="smirk3d train configs/recipes/neural_renderer.yaml",
    description="The neural renderer: synthesises a face from a shaded mesh and sparse pixels of the photo.",
)
EXPRESSION_PRIOR = Artefact(
    name="expression_prior",
    file="expression_prior.safetensors",
    sha256="313493232ee9323b074e302c1549c733796b333109f121d54900eecb9eab0f3e",
    licence="MIT",
    card="expression_prior.md",
    head="open",
    recipe="python -m smirk3d.train.recipes.expression_prior --photos FOLDER",
    description="Ridge regression from MediaPipe's landmarks and blendshape scores to the 52 ARKit weights.",
)
LANDMARK_BIAS = Artefact(
    name="landmark_bias",
    file="landmark_bias.safetensors",
    sha256="6015e4c657e892559539ce15d794667e55c08e681dbdd438a97dc29e9b1a82cf",
    licence="MIT",
    card="landmark_bias.md",
    head="open",
    recipe="python -m smirk3d.train.recipes.landmark_bias --photos FOLDER",
    description="Offsets between where MediaPipe places contour landmarks on photos and on renders of a mesh.",
)
SHAPE_CALIBRATION = Artefact(
    name="shape_calibration",
    file="shape_calibration.safetensors",
    sha256="98fb38684c2ba8fe167626a7c7ef918c0fb5a00d3a65abf672ce37afa331af00",
    licence="MIT",
    card="shape_calibration.md",
    head="open",
    recipe="python -m smirk3d.train.recipes.shape_calibration",
    description="Linear map of the identity fitted to several photos, regressed on rendered people.",
)
IDENTITY = Artefact(
    name="identity",
    file="identity.safetensors",
    sha256="82564d321df2024c5debe2308cae4dfb250cb1ecf3f17bb8dc8b0d06300503b6",
    licence="MIT",
    card="identity.md",
    head="open",
    recipe="python -m smirk3d.train.recipes.identity_network --folder FOLDER",
    description="A small network that estimates the identity from the pixels and the detected landmarks of a photo.",
)
VISIBILITY = Artefact(
    name="visibility",
    file="visibility.safetensors",
    sha256="81664a3777b11052d47eaf293a700fcc181af508786437f6d48eb8663c64b4c9",
    licence="MIT",
    card="visibility.md",
    head="open",
    recipe="python -m smirk3d.train.recipes.visibility --photos FOLDER",
    description="A small network that estimates which regions of a face are visible in a photo.",
)
APPEARANCE = Artefact(
    name="appearance",
    file="appearance.safetensors",
    sha256="925b00b5fc08cf35048482ebfe9a730af2fe53be43d265d92191727e12427626",
    licence="CC0-1.0",
    card="appearance.md",
    head="open",
    recipe="python -m smirk3d.authoring.appearance_build --data FOLDER",
    description="The appearance model: relief of the skin, lips, brows, beard, lashes and hair as layers of a texture.",
)
SEX_TYPICAL_LOOK = Artefact(
    name="sex_typical_look",
    file="sex_typical_look.safetensors",
    sha256="703d0ba7f2d72d6162e7c546939986818f62da8c82eea722b6ba4fbebb5fe473",
    licence="MIT",
    card="sex_typical_look.md",
    head="open",
    recipe="python -m smirk3d.train.recipes.sex_typical_look --photos FOLDER --names FOLDER",
    description="A small network that tells the appearance model how typically male or female a face looks.",
)
EXPRESSION = Artefact(
    name="expression",
    file="expression.safetensors",
    sha256="7a4430291b46e4be0f4121564629a30100b8dda21b673b7822c24abf3527ba8b",
    licence="MIT",
    card="expression.md",
    head="open",
    recipe="smirk3d fer train configs/recipes/fer_emotions.yaml",
    description="The expression network: an expression vector and emotions from a small grey face window.",
)
REENACTMENT = Artefact(
    name="reenactment",
    file="reenactment.safetensors",
    sha256="f09b50d59291c8e4b17231f0cf54824c2b4d3b8bac48e1901667c77dc19fede7",
    licence="MIT",
    card="reenactment.md",
    head="open",
    recipe="python -m smirk3d.train.reenactment configs/recipes/fsrt.yaml",
    description="The transformer engine of reenactment: shows a person of photos with another expression and pose.",
)
FACE_VAE = Artefact(
    name="vae",
    file="vae.safetensors",
    sha256="9d69ac3022afba1d1331ec7bf05287f3cd63c2c735985e17ead445ab8aa5c6ab",
    licence="MIT",
    card="vae.md",
    head="open",
    recipe="smirk3d fer train configs/recipes/fer_vae.yaml",
    description="The face autoencoder: a face window to a code of 128 numbers and back, and attribute vectors.",
)
CLIPS = Artefact(
    name="clips",
    file="clips.safetensors",
    sha256="7d8886166ad9116e5289c744f0ddf10b8a24016f51ed098a726592e741a40013",
    licence="MIT",
    card="clips.md",
    head="open",
    recipe="smirk3d fer train configs/recipes/rdfer.yaml",
    description="The clip network: the emotion of a clip and its key expression, from the features of its frames.",
)
OCCLUSION = Artefact(
    name="occlusion",
    file="occlusion.safetensors",
    sha256="fb4c906232c7afdc32411fd7e11b55bee7df5a34fdb700c659b9b4119eb6ee05",
    licence="MIT",
    card="occlusion.md",
    head="open",
    recipe="smirk3d fer train configs/recipes/fer_occlusion.yaml",
    description="The occlusion network: finds what hides parts of a face window, and rebuilds them.",
)
ARTEFACTS: tuple[Artefact, ...] = (
    OPEN_HEAD,
    ENCODER,
    NEURAL_RENDERER,
    EXPRESSION_PRIOR,
    LANDMARK_BIAS,
    SHAPE_CALIBRATION,
    IDENTITY,
    APPEARANCE,
    SEX_TYPICAL_LOOK,
    VISIBILITY,
    EXPRESSION,
    REENACTMENT,
    FACE_VAE,
    CLIPS,
    OCCLUSION,
)


def files_dir() -> Path:
    """Return the folder of the packaged files."""
    return Path(str(resources.files("smirk3d") / "zoo" / "files"))


def lookup(name: str) -> Artefact:
    """Return the registry's entry of a name.

    Args:
        name: An `Artefact.name`.

    Raises:
        KeyError: There is no artefact of this name.
    """
    for artefact in ARTEFACTS:
        if artefact.name == name:
            return artefact
    raise KeyError(f"no packaged artefact {name!r}; there are {', '.join(each.name for each in ARTEFACTS)}")


def locate(name: str) -> Path:
    """Return where the file of an artefact belongs, whether or not it is there.

    Args:
        name: An `Artefact.name`.

    Raises:
        KeyError: There is no artefact of this name.
    """
    return files_dir() / lookup(name).file


def find(name: str) -> Path:
    """Return the path of an artefact's file.

    Args:
        name: An `Artefact.name`.

    Raises:
        KeyError: There is no artefact of this name.
        Smirk3dError: This installation lacks the file.
    """
    path = locate(name)
    if not path.is_file():
        raise Smirk3dError(f"{path}: missing from this installation; reinstall smirk3d")
    return path
