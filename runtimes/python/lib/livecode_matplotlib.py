"""matplotlib's backend where there is no screen: ``plt.show()`` sends each open figure as a picture.

``MPLBACKEND`` names it, so a program that does not import matplotlib never loads it.
"""

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

import livecode

__all__ = ["FigureCanvas", "FigureManager", "show"]


class FigureManager(FigureManagerBase):
    """One figure of pyplot's."""

    def show(self) -> None:
        livecode.show(self.canvas.figure)

    @classmethod
    def pyplot_show(cls, *, block: object = None) -> None:
        show(block)


FigureCanvas.manager_class = FigureManager


def show(block: object = None) -> None:
    """``plt.show()``: shows all figures, and closes them, as a person would who has seen them.

    With ``block=False``, as ``plt.pause()`` has it, they stay open.
    """
    for manager in Gcf.get_all_fig_managers():
        livecode.show(manager.canvas.figure)
    if block is not False:
        Gcf.destroy_all()
