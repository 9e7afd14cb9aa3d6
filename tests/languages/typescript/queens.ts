function* solutions(queens: number[]): Generator<number[]> {
  if (queens.length === 8) {
    yield queens;
    return;
  }
  for (let column = 1; column <= 8; column++) {
    const isFree = queens.every(
      (other, row) => other !== column && Math.abs(other - column) !== queens.length - row,
    );
    if (isFree) yield* solutions([...queens, column]);
  }
}

const found = [...solutions([])];
console.log(found[0]?.join(" "));
console.log(found.length);
