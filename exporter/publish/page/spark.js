// Small drawings beside numbers: the last hour as a line, a part of a whole as a bar.
import { known, span } from "./format.js";

const WIDTH = 100, HEIGHT = 24, EDGE = 2, ROOM = 1.25; // ROOM: above the highest point, where the scale has no top

function svg(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

export function drawing(kind) {
  const viewBox = `0 0 ${WIDTH} ${HEIGHT}`;
  return svg("svg", { class: kind, viewBox, preserveAspectRatio: "none", "aria-hidden": "true" });
}

// points: numbers, or null for a gap; steps: how many seconds each took; top: of the scale, which starts at zero.
export function drawSpark(node, points = [], steps, format, top) {
  const values = points.filter(known), enough = values.length > 1;
  if (enough) node.setAttribute("role", "img");
  else node.removeAttribute("role");
  node.setAttribute("aria-hidden", String(!enough));
  if (!enough) return node.replaceChildren();
  const whole = steps.reduce((a, b) => a + b, 0), low = Math.min(...values), high = Math.max(...values);
  const scale = top || high * ROOM || 1;
  let gone = -steps[0], line = "", end = "", pen = false;
  points.forEach((value, place) => {
    gone += steps[place];
    if (known(value)) {
      const x = ((WIDTH * gone) / (whole - steps[0])).toFixed(1);
      const y = (HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * Math.min(1, value / scale)).toFixed(1);
      line += `${pen ? "L" : "M"}${x} ${y}`;
      end = `M${x} ${y}h0`;
    }
    pen = known(value);
  });
  const say = format.among(values);
  node.setAttribute("aria-label", `last ${span(whole)}: from ${say(low)} to ${say(high)}`);
  node.replaceChildren(svg("path", { d: line, class: "line" }), svg("path", { d: end, class: "end" }));
}

// part: of one; due: where it should be by now, if that is known. What they say stands beside it as a number.
export function drawBar(node, part, due) {
  const place = (x) => (WIDTH * Math.max(0, Math.min(1, x))).toFixed(2), pieces = [];
  if (known(part)) {
    pieces.push(svg("rect", { class: "whole", width: WIDTH, height: HEIGHT }));
    pieces.push(svg("rect", { class: "part", width: place(part), height: HEIGHT }));
    if (known(due)) pieces.push(svg("path", { class: "due", d: `M${place(due)} 0V${HEIGHT}` }));
  }
  node.replaceChildren(...pieces);
}
