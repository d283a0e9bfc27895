"""Pages of the site that are made from other files: the API by package, model cards, and the repository's own pages.

Run by MkDocs (`gen-files` in mkdocs.yml), in the root of the repository.
"""

from __future__ import annotations

import re
from pathlib import Path

import mkdocs_gen_files

import smirk3d

ROOT = Path(__file__).parents[1]
COPIES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "flame_assets/README.md": "flame-files.md",
}
"""Pages of the repository and where the site has them."""
CARDS = "smirk3d/zoo/files"
API_INTRO = """# API

The names below can be imported from `smirk3d` itself; they are the stable interface. Modules further down are
documented, too, but their names may change between versions. The pages are made from the docstrings.

## Public names
"""


def main() -> None:
    """Make all pages."""
    for source, target in COPIES.items():
        write(target, linked((ROOT / source).read_text(encoding="utf-8")))
    cards = sorted((ROOT / CARDS).glob("*.md"))
    for card in cards:
        write(f"zoo/{card.name}", card.read_text(encoding="utf-8"))
    titles = [(re.sub(r"^# (Model card: )?(the )?", "", card.read_text().splitlines()[0]), card.name) for card in cards]
    entries = [f"* [{title[0].upper()}{title[1:]}]({name})" for title, name in titles]
    write("zoo/SUMMARY.md", "\n".join(["* [Model zoo](index.md)", *entries]))
    api_pages()


def api_pages() -> None:
    """Make a page for each public module, and the navigation: packages, then their modules."""
    nav, rows = mkdocs_gen_files.Nav(), []
    for path in sorted((ROOT / "smirk3d").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if any(part.startswith("_") and part != "__init__" for part in parts) or parts == ("smirk3d", "__init__"):
            continue
        is_package = parts[-1] == "__init__"
        parts = parts[:-1] if is_package else parts
        page = Path(*parts[1:], "index.md") if is_package else Path(*parts[1:]).with_suffix(".md")
        nav[parts[1:]] = page.as_posix()
        write(f"api/{page.as_posix()}", f"::: {'.'.join(parts)}\n")
        if is_package and len(parts) == 2:
            rows.append(f"| [`{'.'.join(parts)}`]({page.as_posix()}) | {summary(path)} |")
    table = ["| Package | |", "|---|---|", *rows]
    write("api/index.md", "\n".join([API_INTRO, *public_names(), "\n## Packages\n", *table, ""]))
    write("api/SUMMARY.md", "* [Public names](index.md)\n" + "".join(nav.build_literate_nav()))


def public_names() -> list[str]:
    """Return a table of what `smirk3d` exports, each name linked to the module that defines it."""
    rows = ["| Name | Defined in |", "|---|---|"]
    for name in sorted(set(smirk3d.__all__) - {"__version__"}):
        module = getattr(getattr(smirk3d, name), "__module__", None)
        if module is None:  # a constant; its module is not known
            rows.append(f"| `{name}` | |")
            continue
        page = "/".join(module.split(".")[1:]) + ".md"
        rows.append(f"| [`{name}`]({page}) | `{module}` |")
    return rows


def summary(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r'"""(.*?)("""|\n\n)', text, flags=re.DOTALL)
    return " ".join(match[1].split()) if match else ""


def linked(text: str) -> str:
    """Return a page of the repository with its links as they are in the site."""
    text = re.sub(r"\]\((?:\.\./)?docs/", "](", text)
    for source, target in COPIES.items():
        text = text.replace(f"]({source}", f"]({target}")
    return text


def write(target: str, text: str) -> None:
    """Write a page of the site."""
    with mkdocs_gen_files.open(target, "w") as file:
        file.write(text)


main()
