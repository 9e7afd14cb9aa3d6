// Paint with the mouse or a finger. Every key changes the colour.
size(480, 360);
background("#fffdf5");
text("Hold the button and draw", 240, 180, { size: 22, align: "center", fill: "#8a8371" });

let hue = 250;
let last;

onKeyDown(() => (hue = (hue + 50) % 360));
onMouseDown((x, y) => (last = [x, y]));
onMouseUp(() => (last = undefined));
onMouseMove((x, y) => {
  if (!last) return;
  line(...last, x, y, { stroke: `hsl(${hue} 80% 50%)`, width: 8 });
  last = [x, y];
});
