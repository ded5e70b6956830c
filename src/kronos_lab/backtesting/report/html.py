"""Pages with everything inside them: one file, light or dark, wide or phone, that asks nothing of the network."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure


def write_page(path: Path, template: str, figures: Mapping[str, Figure], **content: Any) -> None:
    """Write a page, under a temporary name first.

    Args:
        path: of the page.
        template: its file beside this one; it extends `layout.html.j2`.
        figures: by name, for the template to place with `picture(name, alternative)`; one that is not there is left
            out.
        content: what the template names.
    """

    def picture(name: str, alternative: str) -> Markup:
        if name not in figures:
            return Markup("")
        source = f"data:image/svg+xml;base64,{base64.b64encode(_svg(figures[name])).decode()}"
        return Markup('<img alt="{}" src="{}">').format(alternative, source)

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(environment.get_template(template).render(picture=picture, **content), encoding="utf-8")
    partial.replace(path)


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
