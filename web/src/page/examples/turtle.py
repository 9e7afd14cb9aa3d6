from turtle import *

setup(480, 480)
speed(0)
bgcolor("#10122b")
pensize(2)

colours = ["coral", "gold", "turquoise", "deepskyblue", "violet"]
for n in range(160):
    pencolor(colours[n % 5])
    forward(n * 2.5)
    left(144.6)
hideturtle()
