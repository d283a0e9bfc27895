"""What importing costs, and which way imports go."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import smirk3d

PACKAGE = Path(smirk3d.__file__).parent
HEAVY = {"mediapipe", "warp", "cv2", "matplotlib", "pandas", "trimesh", "pygltflib", "pyarrow", "kornia", "pxr"}
# A module imports, when it is itself imported, only from its own layer and from those before it.
LAYERS = (
    {"errors", "assets", "types"},
    {"geometry"},
    {"head"},
    {"render"},
    {"masking"},
    {"networks"},
    {"face"},
    {"clip"},
    {"export", "viz", "fer"},
    {"pipeline"},
    {"video"},
    {"train"},
    {"evaluation"},
    {"cli"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def _layer(module: str) -> str:
    """Return the part of a dotted name below the package, "" for the package itself."""
    return [*module.split("."), ""][1]


def _imported(tree: ast.Module) -> list[str]:
    """List what the top level of a module imports from the package."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "smirk3d":
            names += [f"smirk3d.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names.append(node.module or "")
    return [name for name in names if name.split(".")[0] == "smirk3d"]


def _modules() -> list[tuple[str, Path]]:
    files = sorted(PACKAGE.rglob("*.py"))
    dotted = [(".".join(("smirk3d", *path.relative_to(PACKAGE).with_suffix("").parts)), path) for path in files]
    return [(name, path) for name, path in dotted if name != "smirk3d.__init__"]


def _is_upward(importer: str, imported: str) -> bool:
    own, other = _layer(importer), _layer(imported)
    if other in ("", "__version__"):  # the package itself imports nothing
        return False
    return RANK.get(other, len(LAYERS)) > RANK.get(own, -1)


@pytest.mark.parametrize("module", ["smirk3d", "smirk3d.cli.main"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (HEAVY | {"torch", "numpy", "PIL", "rich"}) & set(result.stdout.split())


def test_imports_go_one_way() -> None:
    upward = [
        f"{module} imports {name}"
        for module, path in _modules()
        for name in _imported(ast.parse(path.read_text(encoding="utf-8")))
        if _is_upward(module, name)
    ]
    assert not upward


def test_upward_import_is_noticed() -> None:
    assert _is_upward("smirk3d.geometry.camera", "smirk3d.head.model")
    assert _is_upward("smirk3d.geometry.camera", "smirk3d.nowhere")
    assert not _is_upward("smirk3d.head.model", "smirk3d.geometry.camera")
    assert not _is_upward("smirk3d.cli.main", "smirk3d.__version__")


def test_no_heavy_import_at_the_top_of_a_module() -> None:
    for module, path in _modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & (HEAVY - {"warp", "pygltflib"}), module


def test_public_names_are_found_where_they_are_defined() -> None:
    assert set(dir(smirk3d)) == set(smirk3d.__all__)
    for name in smirk3d.__all__:
        assert getattr(smirk3d, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        smirk3d.nonsense  # noqa: B018
