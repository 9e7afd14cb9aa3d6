# Catch the falling balls: move the basket with the mouse or a finger.
from random import randint

size(480, 360)
stroke(None)

caught = missed = 0
x, y, speed = 240, 0, 3
while missed < 3:
    y += speed
    if y > 330:
        if abs(x - mouse_x()) < 45:
            caught += 1
            speed += 0.3
        else:
            missed += 1
        x, y = randint(20, 460), 0

    background("#eaf4ff")
    fill("#e8590c")
    circle(x, y, 24)
    fill("#4338ca")
    rect(mouse_x() - 40, 335, 80, 14)
    fill("#1b2030")
    text(f"caught {caught}, missed {missed} of 3", 12, 26, size=18)
    frame()

text("Game over", 240, 180, size=48, align="center")
print(f"You caught {caught}.")
