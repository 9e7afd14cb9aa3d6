import livecode

planets = [
    ("Mercury", 0.39, 0.24),
    ("Venus", 0.72, 0.62),
    ("Earth", 1.00, 1.00),
    ("Mars", 1.52, 1.88),
    ("Jupiter", 5.20, 11.9),
]

# Kepler's third law: the square of a year is the cube of the distance.
rows = [[name, distance, year, round(distance**1.5, 2)] for name, distance, year in planets]
livecode.send("table", columns=["planet", "distance", "year", "year by Kepler's law"], rows=rows)
