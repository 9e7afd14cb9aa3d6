from math import cos, sin

size(480, 360)
stroke(None)

t = 0
while True:
    background("#10122b")
    for n in range(60):
        angle = n / 60 * 6.283 + t
        radius = 110 + 40 * sin(3 * angle + 2 * t)
        fill(80 + 2.5 * n, 120 + 100 * sin(t), 255 - 2 * n)
        circle(240 + 1.6 * radius * cos(angle), 180 + radius * sin(angle), 10 + 8 * sin(n + 4 * t))
    t += 0.02
    frame()
