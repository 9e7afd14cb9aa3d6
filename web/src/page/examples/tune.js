const livecode = require("livecode");

// The notes of each chord are played one after the other.
const chords = ["C4 E4 G4", "A3 C4 E4", "F3 A3 C4", "G3 B3 D4", "C4 E4 G4 C5"];

chords.forEach((chord, bar) => {
  const notes = chord.split(" ");
  notes.forEach((note, n) => livecode.send("play", { note, at: bar + n * 0.25, duration: 1.2 - n * 0.25, wave: "sine" }));
});
console.log(`${chords.length} bars`);
