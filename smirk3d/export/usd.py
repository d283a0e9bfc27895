"""Animated USD: head and motion of the animated GLB, for Houdini, Maya, Omniverse, Unreal and Blender.

The stage has the axes and units of the GLB (+Y up, metres) and the frames of the clip as time codes:

    clip                   the camera frame of the clip, the default prim
      camera               at the origin, looking along -Z
      character            the SkelRoot
        head               the neutral mesh, bound to the joint "head" as a whole
          skin, eyes, ...  subsets of its triangles, one for each material
          jawOpen, ...     a BlendShape for each morph target
        skeleton           joints "head", "head/eyeLeft" and "head/eyeRight"
          animation        their rotations and translations, and the weights of the blend shapes
        materials          UsdPreviewSurface with a texture, or else with the vertex colours

No vertices are bound to the joints of the eyes: the eyeballs of the head follow the eyeLook shapes, as in the GLB.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.animation import CLIP_NAME, EYE_NODES, NEAR_PLANE_M, TrackAnimation, track_animation
from smirk3d.export.gltf.morph_sparsity import morph_pattern, normal_offsets
from smirk3d.export.gltf.morph_targets import RESIDUAL_TARGET, morph_targets
from smirk3d.export.texture import appearance_texture
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import (
    MaterialPart,
    material_parts,
    srgb_to_linear,
    vertex_colors,
)
from smirk3d.render.appearance.part_textures import TEXTURED_PARTS, part_images, part_uv
from smirk3d.track import Track

if TYPE_CHECKING:
    from smirk3d.export.texture import Texture

USD_FORMATS: tuple[str, ...] = (".usdc", ".usda", ".usd")
"""Suffixes of `save_usd`: binary, text, and binary again."""
_FILM_BACK_WIDTH = 0.36
"""Film back width of the camera: 36 mm in tenths of the stage's unit, which USD requires."""
_FAR_PLANE_M = 1000.0
"""Distance of the camera's far clipping plane."""
_TIME_CODE_DECIMALS = 6
"""Decimals of time codes; at a constant frame rate they become integers."""


def save_usd(track: Track, path: Path, texture: Texture | None = None) -> list[Path]:
    """Write a track as animated USD, and beside it the textures of its materials, such as `<stem>_eyes.png`.

    Neutral head, blend shapes, keys and gaps are those of `save_animation`; `RESIDUAL_TARGET`, whose weight is 0 in
    animations, is left out. Each file is written whole or not at all, the textures first.

    Args:
        track: One person; the identity is the same in all frames.
        path: Target, ending in one of `USD_FORMATS` (any case).
        texture: Skin texture; by default that of the face's appearance, without which the skin has vertex colours.

    Returns:
        The paths written, that of the stage first.

    Raises:
        Smirk3dError: usd-core is not installed, the suffix is unknown, the face was lost in all frames, or writing
            failed.
    """
    if path.suffix.lower() not in USD_FORMATS:
        raise Smirk3dError(f"{printable(path)}: unknown format {path.suffix!r}; choose one of {' '.join(USD_FORMATS)}")
    pxr, animation = load_usd(), track_animation(track)
    texture = appearance_texture(animation.face) if texture is None else texture
    images = {
        path.with_name(f"{path.stem}_{name}.png"): (name, pixels)
        for name, pixels in _texture_images(animation.face, texture).items()
    }
    stage = _Stage(pxr, track, animation, texture, {name: image.name for image, (name, _) in images.items()})
    for image, (_, pixels) in images.items():
        _save_png(pixels, image)
    with atomic_path(path) as temporary:
        try:
            stage.layer.Export(str(temporary))
        except (pxr.Tf.ErrorException, UnicodeError) as error:
            raise OSError(str(error)) from error
    return [path, *images]


def load_usd() -> Any:
    """Import OpenUSD with the modules that are used here; return the package `pxr`.

    Raises:
        Smirk3dError: usd-core is not installed.
    """
    try:
        import pxr  # pyright: ignore[reportMissingImports]
        from pxr import Gf, Kind, Sdf, Tf, Usd, UsdGeom, UsdShade, UsdSkel, Vt  # noqa: F401 # pyright: ignore
    except ImportError as error:
        raise Smirk3dError(f"USD needs usd-core ({error}); pip install 'smirk3d[usd]'") from error
    return pxr


class _Stage:
    """Builds the stage of one track in memory; `layer` is exported to the file.

    Args:
        pxr: The OpenUSD package.
        track: One person.
        animation: Animation of the track.
        texture: Skin texture.
        images: Material -> name of its texture file, which is in the folder of the stage.
    """

    def __init__(
        self, pxr: Any, track: Track, animation: TrackAnimation, texture: Texture | None, images: dict[str, str]
    ) -> None:
        self._pxr, self._animation = pxr, animation
        self._stage = pxr.Usd.Stage.CreateInMemory()
        self.layer = self._stage.GetRootLayer()
        self._describe(track)
        clip = pxr.Sdf.Path.absoluteRootPath.AppendChild(CLIP_NAME)
        root = pxr.UsdGeom.Xform.Define(self._stage, clip).GetPrim()
        self._stage.SetDefaultPrim(root)
        pxr.Usd.ModelAPI(root).SetKind(pxr.Kind.Tokens.component)
        self._add_camera(clip.AppendChild("camera"), track.image_size)
        character = clip.AppendChild("character")
        pxr.UsdSkel.Root.Define(self._stage, character)
        mesh = self._add_mesh(character.AppendChild("head"), texture)
        names = self._add_shapes(mesh)
        self._add_materials(mesh, character.AppendChild("materials"), images)
        skeleton = self._add_skeleton(character.AppendChild("skeleton"))
        self._add_animation(skeleton.GetPath().AppendChild("animation"), names, track.rate_fps)
        for prim in (mesh, skeleton):
            pxr.UsdSkel.BindingAPI.Apply(prim.GetPrim()).CreateSkeletonRel().SetTargets([skeleton.GetPath()])

    def _describe(self, track: Track) -> None:
        """Set units, times and metadata of the stage."""
        data, codes = track.head.data, self._time_codes(track.rate_fps)
        licence = str(data.meta.get("licence", "unknown"))
        self.layer.documentation = f"Made by smirk3d with the head {data.name!r}; licence of the head: {licence}"
        self.layer.customLayerData = {
            "generator": "smirk3d",
            "head": data.name,
            "licence": licence,
            "track": track.number,
            "method": track.method,
        }
        self._pxr.UsdGeom.SetStageUpAxis(self._stage, self._pxr.UsdGeom.Tokens.y)
        self._pxr.UsdGeom.SetStageMetersPerUnit(self._stage, 1.0)
        self._stage.SetTimeCodesPerSecond(track.rate_fps)
        self._stage.SetFramesPerSecond(track.rate_fps)
        self._stage.SetStartTimeCode(codes[0])
        self._stage.SetEndTimeCode(codes[-1])

    def _time_codes(self, rate_fps: float) -> list[float]:
        return np.round(self._animation.time_s * rate_fps, _TIME_CODE_DECIMALS).tolist()

    def _add_camera(self, path: Any, image_size: tuple[int, int]) -> None:
        width, height = image_size
        camera = self._pxr.UsdGeom.Camera.Define(self._stage, path)
        camera.CreateHorizontalApertureAttr(_FILM_BACK_WIDTH)
        camera.CreateVerticalApertureAttr(_FILM_BACK_WIDTH * height / width)
        camera.CreateFocalLengthAttr(_FILM_BACK_WIDTH * self._animation.focal_px / width)
        camera.CreateClippingRangeAttr((NEAR_PLANE_M, _FAR_PLANE_M))

    def _add_mesh(self, path: Any, texture: Texture | None) -> Any:
        """Add the neutral mesh, with all vertices bound to the first joint."""
        pxr, face, tokens = self._pxr, self._animation.face, self._pxr.UsdGeom.Tokens
        points, n_points = self._vectors(face.neutral_vertices), len(face.neutral_vertices)
        mesh = pxr.UsdGeom.Mesh.Define(self._stage, path)
        mesh.CreatePointsAttr(points)
        mesh.CreateExtentAttr(pxr.UsdGeom.PointBased.ComputeExtent(points))
        mesh.CreateFaceVertexCountsAttr(self._integers(np.full(len(face.triangles), 3)))
        mesh.CreateFaceVertexIndicesAttr(self._integers(face.triangles))
        mesh.CreateSubdivisionSchemeAttr(tokens.none)
        mesh.CreateDoubleSidedAttr(True)  # the mesh is open at the neck
        colors = srgb_to_linear(vertex_colors(face.head))
        mesh.CreateDisplayColorPrimvar(tokens.vertex).Set(self._vectors(colors))
        uv, index = corner_uv(face.head, texture)
        st = pxr.UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
            "st", pxr.Sdf.ValueTypeNames.TexCoord2fArray, tokens.faceVarying
        )
        st.Set(pxr.Vt.Vec2fArray.FromNumpy(uv))
        st.SetIndices(self._integers(index))
        binding = pxr.UsdSkel.BindingAPI.Apply(mesh.GetPrim())
        binding.CreateGeomBindTransformAttr(pxr.Gf.Matrix4d(1))
        binding.CreateJointIndicesPrimvar(False, 1).Set(self._integers(np.zeros(n_points)))
        binding.CreateJointWeightsPrimvar(False, 1).Set(pxr.Vt.FloatArray(n_points, 1.0))
        return mesh

    def _add_shapes(self, mesh: Any) -> list[str]:
        """Add normals, and blend shapes with offsets of vertices and normals; return the names of the shapes."""
        pxr, face = self._pxr, self._animation.face
        targets, pattern = morph_targets(face), morph_pattern(face.head)
        normals, differences = normal_offsets(face.neutral_vertices, face.triangles, targets.offsets, pattern)
        mesh.CreateNormalsAttr(self._vectors(normals))
        mesh.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
        names = [name for name in targets.names if name != RESIDUAL_TARGET]
        paths = [mesh.GetPath().AppendChild(pxr.Tf.MakeValidIdentifier(name)) for name in names]
        for k, path in enumerate(paths):
            rows = np.flatnonzero(pattern.moved[k] | pattern.normal_changed[k])
            # Blender drops shapes without offsets, so an empty target gets a zero offset at one point.
            rows = rows if len(rows) else np.zeros(1, dtype=np.int64)
            shape = pxr.UsdSkel.BlendShape.Define(self._stage, path)
            shape.CreatePointIndicesAttr(self._integers(rows))
            shape.CreateOffsetsAttr(self._vectors(targets.offsets[k, rows] * pattern.moved[k, rows, None]))
            shape.CreateNormalOffsetsAttr(self._vectors(differences[k, rows]))
        binding = pxr.UsdSkel.BindingAPI(mesh.GetPrim())
        binding.CreateBlendShapesAttr(names)
        binding.CreateBlendShapeTargetsRel().SetTargets(paths)
        return names

    def _add_skeleton(self, path: Any) -> Any:
        """Add the joints with their rest positions in the head frame."""
        skeleton = self._pxr.UsdSkel.Skeleton.Define(self._stage, path)
        positions = [np.zeros(3), *self._animation.eye_centers_m]
        rest = [self._pxr.Gf.Matrix4d(1).SetTranslate(position.tolist()) for position in positions]
        skeleton.CreateJointsAttr(["head", *(f"head/{eye}" for eye in EYE_NODES)])
        skeleton.CreateBindTransformsAttr(rest)
        skeleton.CreateRestTransformsAttr(rest)
        return skeleton

    def _add_animation(self, path: Any, shapes: list[str], rate_fps: float) -> None:
        """Add the key frames of joints and blend shapes."""
        pxr, source = self._pxr, self._animation
        animation = pxr.UsdSkel.Animation.Define(self._stage, path)
        skeleton = pxr.UsdSkel.Skeleton.Get(self._stage, path.GetParentPath())
        pxr.UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([path])
        animation.CreateJointsAttr(skeleton.GetJointsAttr().Get())
        animation.CreateBlendShapesAttr(shapes)
        eye_centers = np.broadcast_to(source.eye_centers_m, (len(source.time_s), 2, 3))
        translations = np.concatenate([source.translation_m[:, None], eye_centers], axis=1)
        rotations = np.stack([source.rotation, *source.eyes], axis=1).astype(np.float32)
        weights = source.weights[:, : len(shapes)].astype(np.float32)
        scales = pxr.Vt.Vec3hArray(rotations.shape[1], pxr.Gf.Vec3h(1))
        for k, code in enumerate(self._time_codes(rate_fps)):
            animation.CreateTranslationsAttr().Set(self._vectors(translations[k]), code)
            animation.CreateRotationsAttr().Set(pxr.Vt.QuatfArray.FromNumpy(rotations[k]), code)  # x, y, z, w
            animation.CreateScalesAttr().Set(scales, code)
            animation.CreateBlendShapeWeightsAttr().Set(pxr.Vt.FloatArray.FromNumpy(weights[k]), code)

    def _add_materials(self, mesh: Any, scope: Any, images: dict[str, str]) -> None:
        """Split the triangles by material and bind a material to each subset."""
        pxr = self._pxr
        pxr.UsdGeom.Scope.Define(self._stage, scope)
        owner = pxr.UsdShade.MaterialBindingAPI(mesh)
        for part in material_parts(self._animation.face.head):
            subset = owner.CreateMaterialBindSubset(part.name, self._integers(part.face_index))
            material = self._add_material(scope.AppendChild(part.name), part, images.get(part.name))
            pxr.UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(material)
        owner.SetMaterialBindSubsetsFamilyType(pxr.UsdGeom.Tokens.partition)

    def _add_material(self, path: Any, part: MaterialPart, image: str | None) -> Any:
        pxr, types = self._pxr, self._pxr.Sdf.ValueTypeNames
        material = pxr.UsdShade.Material.Define(self._stage, path)
        surface = self._shader(path.AppendChild("surface"), "UsdPreviewSurface")
        surface.CreateInput("roughness", types.Float).Set(part.roughness)
        surface.CreateInput("metallic", types.Float).Set(0.0)
        if image is None:
            reader = self._shader(path.AppendChild("colors"), "UsdPrimvarReader_float3")
            reader.CreateInput("varname", types.String).Set("displayColor")
            color = reader.CreateOutput("result", types.Float3)
        else:
            color = self._texture_color(path, image)
        surface.CreateInput("diffuseColor", types.Color3f).ConnectToSource(color)
        material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
        return material

    def _texture_color(self, path: Any, image: str) -> Any:
        """Add the nodes that read a texture; return the output with the colour."""
        types = self._pxr.Sdf.ValueTypeNames
        reader = self._shader(path.AppendChild("st"), "UsdPrimvarReader_float2")
        reader.CreateInput("varname", types.String).Set("st")
        texture = self._shader(path.AppendChild("picture"), "UsdUVTexture")
        texture.CreateInput("file", types.Asset).Set(f"./{image}")
        texture.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
        texture.CreateInput("st", types.Float2).ConnectToSource(reader.CreateOutput("result", types.Float2))
        for wrap in ("wrapS", "wrapT"):
            texture.CreateInput(wrap, types.Token).Set("clamp")
        return texture.CreateOutput("rgb", types.Float3)

    def _shader(self, path: Any, kind: str) -> Any:
        shader = self._pxr.UsdShade.Shader.Define(self._stage, path)
        shader.CreateIdAttr(kind)
        return shader

    def _vectors(self, values: np.ndarray) -> Any:
        return self._pxr.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, dtype=np.float32))

    def _integers(self, values: np.ndarray) -> Any:
        return self._pxr.Vt.IntArray.FromNumpy(np.ascontiguousarray(values, dtype=np.int32).ravel())


def corner_uv(head: HeadModel, texture: Texture | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the texture coordinates of a head's materials.

    Those of eyes and teeth are `part_uv`, those of a skin with a texture are the texture's. All other parts have the
    head's own texture coordinates, if there are any.

    Args:
        head: The head model.
        texture: Skin texture.

    Returns:
        (N, 2) float32 texture coordinates, v upwards, and (3 F,) int64, the row of each corner of the triangles.
    """
    tables = [part_uv(head), head.uv.cpu().numpy(), *([] if texture is None else [texture.uv])]
    starts = np.cumsum([0, *map(len, tables)])
    index, faces_uv = head.faces.cpu().numpy().copy(), head.faces_uv.cpu().numpy()
    for part in material_parts(head):
        if part.name in TEXTURED_PARTS or len(head.uv) == 0:
            continue
        start = starts[2 if part.name == "skin" and texture is not None else 1]
        index[part.face_index] = faces_uv[part.face_index] + start
    used, corner = np.unique(index, return_inverse=True)
    return np.concatenate(tables)[used].astype(np.float32), corner.ravel()


def _texture_images(face: Face, texture: Texture | None) -> dict[str, np.ndarray]:
    """Return the texture image (H, W, 3) uint8 sRGB of each material that has one."""
    return part_images(face.head, face.appearance) | ({} if texture is None else {"skin": texture.image})


def _save_png(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
