"""Figures on a page: sharp on dense screens, small, and with text for screen readers."""

import io
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

__all__ = ["show_picture"]

_DPI = 110
#: Pixels for each one that a figure takes on the page.
_DENSITY = 2
_N_COLORS = 256


def show_picture(figure: Figure | Axes, alt: str | None = None) -> bytes:
    """Show a figure in the notebook that runs, if one does, close it, and return it as a PNG.

    Parameters
    ----------
    figure : Figure or Axes
    alt : str, optional
        What it shows, in words; by default its titles.

    Returns
    -------
    bytes
        The same for the same figure. A palette makes it a third of the size: figures have few
        colors.
    """
    whole: Any = figure.figure if isinstance(figure, Axes) else figure
    drawn, png = io.BytesIO(), io.BytesIO()
    # Without `Software` the file does not depend on the version of Matplotlib.
    whole.savefig(drawn, dpi=_DENSITY * _DPI, bbox_inches="tight", metadata={"Software": None})
    image = Image.open(drawn).convert("RGB")
    image.quantize(_N_COLORS, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
    _display(png.getvalue(), image.width, image.height, alt or _titles(whole))
    plt.close(whole)
    return png.getvalue()


def _display(png: bytes, width: int, height: int, alt: str) -> None:
    from IPython import display, get_ipython

    if get_ipython() is not None:
        size = {"width": width // _DENSITY, "height": height // _DENSITY}
        display.display(display.Image(png, alt=alt, **size))


def _titles(figure: Figure) -> str:
    words = [figure.get_suptitle(), *(ax.get_title(loc="left") for ax in figure.axes)]
    words += [ax.get_title() for ax in figure.axes]
    return ". ".join(dict.fromkeys(word.strip() for word in words if word.strip()))
