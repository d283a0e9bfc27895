"""Rasterisation, shading and drawing of meshes."""

from smirk3d.geometry.camera import project_orthographic
from smirk3d.render.draw import Drawing, Texture, draw
from smirk3d.render.fragments import Fragments, interpolate, recompute_barycentric
from smirk3d.render.rasterize import Backend, rasterize
from smirk3d.render.renderer import DrawableHead, Renderer, RenderOutput
from smirk3d.render.shading import SMIRK_LIGHTS, Lights, Specular, highlight, shade, vertex_normals

__all__ = [
    "SMIRK_LIGHTS",
    "Backend",
    "DrawableHead",
    "Drawing",
    "Fragments",
    "Lights",
    "RenderOutput",
    "Renderer",
    "Specular",
    "Texture",
    "draw",
    "highlight",
    "interpolate",
    "project_orthographic",
    "rasterize",
    "recompute_barycentric",
    "shade",
    "vertex_normals",
]
