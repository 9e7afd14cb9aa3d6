size(480, 360);
stroke(null);

const balls = Array.from({ length: 40 }, (_, n) => ({
  x: 240,
  y: 180,
  across: 4 * Math.sin(n),
  down: 4 * Math.cos(2.5 * n),
  colour: `hsl(${9 * n} 80% 62%)`,
}));

while (true) {
  background("#10122b");
  for (const ball of balls) {
    ball.x += ball.across;
    ball.y += ball.down;
    if (ball.x < 10 || ball.x > 470) ball.across *= -1;
    if (ball.y < 10 || ball.y > 350) ball.down *= -1;
    fill(ball.colour);
    circle(ball.x, ball.y, 20);
  }
  await frame();
}
