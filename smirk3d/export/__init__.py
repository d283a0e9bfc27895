"""Files that other programs read: meshes, animated characters, arrays and tables."""

from smirk3d.export.save import FORMATS, save_face

__all__ = ["FORMATS", "save_face"]
