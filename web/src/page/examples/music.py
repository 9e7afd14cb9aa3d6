import livecode

# Each note has a name and a length in beats.
tune = "C4 1, D4 1, E4 1, C4 1, C4 1, D4 1, E4 1, C4 1, E4 1, F4 1, G4 2, E4 1, F4 1, G4 2"
beat = 0.4

at = 0
for entry in tune.split(", "):
    note, beats = entry.split()
    livecode.send("play", note=note, duration=int(beats) * beat, at=at)
    at += int(beats) * beat

livecode.send("play", note=["C3", "G3", "C4"], duration=2, at=at)
print(f"{at + 2:.0f} seconds of music")
