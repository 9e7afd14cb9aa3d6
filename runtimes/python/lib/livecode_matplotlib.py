"""A backend of matplotlib for which ``plt.show()`` sends each open figure as a picture.

The environment variable ``MPLBACKEND`` selects it, so only programs that import matplotlib load
it.
"""

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

import livecode

__all__ = ["FigureCanvas", "FigureManager", "show"]


class FigureManager(FigureManagerBase):
    """Shows one figure of pyplot."""

    def show(self) -> None:
        livecode.show(self.canvas.figure)

    @classmethod
    def pyplot_show(cls, *, block: object = None) -> None:
        show(block)


FigureCanvas.manager_class = FigureManager


def show(block: object = None) -> None:
    """Implements ``plt.show()``: shows all open figures and closes them.

    With ``block=False``, which ``plt.pause()`` passes, the figures stay open.
    """
    for manager in Gcf.get_all_fig_managers():
        livecode.show(manager.canvas.figure)
    if block is not False:
        Gcf.destroy_all()
