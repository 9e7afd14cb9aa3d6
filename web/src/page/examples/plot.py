import math
import livecode

xs = [n / 50 for n in range(501)]
ys = [math.exp(-x / 4) * math.cos(3 * x) for x in xs]

try:
    import matplotlib.pyplot as plt
except ImportError:
    # Without matplotlib, draw the same curve as an SVG.
    points = " ".join(f"{40 + 40 * x:.1f},{120 - 100 * y:.1f}" for x, y in zip(xs, ys))
    livecode.show(f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 240">
      <rect width="480" height="240" fill="white"/>
      <path d="M40 10V230M40 120H460" stroke="#98a2b3"/>
      <polyline points="{points}" fill="none" stroke="#4338ca" stroke-width="2.5"/>
    </svg>""")
else:
    plt.plot(xs, ys, color="#4338ca")
    plt.title("A damped oscillation")
    plt.grid(alpha=0.3)
    plt.show()
