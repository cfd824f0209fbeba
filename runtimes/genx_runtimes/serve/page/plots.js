// Samples that are numbers or sounds, as pictures.

import { make } from "./inputs.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 200;
const HEIGHT = 100;
const CELLS = 12;

function makeSvg(label, ...paths) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  for (const [kind, points, group] of paths) {
    const line = document.createElementNS(SVG, kind);
    line.setAttribute("points", points);
    line.setAttribute("class", `c${group % 8}`);
    svg.append(line);
  }
  return svg;
}

/** Return the least and the greatest number of nested arrays. */
export function findRange(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values.flat(Infinity)) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high > low ? high : low + 1];
}

/** A line for each column of a sequence (length, columns), all within the same range. */
export function plotSequence(rows, [low, high], label) {
  const lines = rows.map((row) => [row].flat(Infinity));
  const across = WIDTH / Math.max(lines.length - 1, 1);
  const paths = lines[0].map((_, column) => [
    "polyline",
    lines
      .map((row, i) => {
        const y = HEIGHT - 2 - ((row[column] - low) / (high - low)) * (HEIGHT - 4);
        return `${(i * across).toFixed(1)},${y.toFixed(1)}`;
      })
      .join(" "),
    column,
  ]);
  return makeSvg(label, ...paths);
}

/** The envelope of a WAV file of 16-bit PCM, all channels in one. */
export function plotWave(bytes, label) {
  const samples = new Int16Array(bytes.buffer, 44, (bytes.byteLength - 44) >> 1);
  const slots = Math.min(2 * WIDTH, samples.length);
  const [top, bottom] = [[], []];
  for (let slot = 0; slot < slots; slot += 1) {
    const from = Math.floor((slot * samples.length) / slots);
    const to = Math.floor(((slot + 1) * samples.length) / slots);
    const [low, high] = findRange([...samples.subarray(from, Math.max(to, from + 1))]);
    const x = ((slot / slots) * WIDTH).toFixed(1);
    top.push(`${x},${(HEIGHT / 2 - 0.5 - (high / 65536) * HEIGHT).toFixed(1)}`);
    bottom.unshift(`${x},${(HEIGHT / 2 + 0.5 - (low / 65536) * HEIGHT).toFixed(1)}`);
  }
  return makeSvg(label, ["polygon", [...top, ...bottom].join(" "), 0]);
}

/** Whether a tensor is so small that its numbers are shown as they are. */
export const isSmall = (values) => [values].flat(Infinity).length <= CELLS;

/** A tensor of any shape as shades, its last axis across; voxels seen from the front. */
export function plotTensor(values, voxels, label) {
  return drawShades(voxels ? project(values) : toRows(values), label);
}

const isMatrix = (values) => Array.isArray(values[0]) && !Array.isArray(values[0][0]);

function toRows(values) {
  if (!Array.isArray(values[0])) return [values];
  return isMatrix(values) ? values : values.flatMap(toRows);
}

function project(values) {
  if (isMatrix(values)) return values;
  return values.map(project).reduce((front, slice) =>
    front.map((row, y) => row.map((value, x) => Math.max(value, slice[y][x]))),
  );
}

function drawShades(rows, label) {
  const canvas = make("canvas", { width: rows[0].length, height: rows.length, role: "img", "aria-label": label });
  const [low, high] = findRange(rows);
  const context = canvas.getContext("2d");
  const image = context.createImageData(rows[0].length, rows.length);
  rows.flat().forEach((value, i) => {
    const shade = (255 * (value - low)) / (high - low);
    image.data.set([shade, shade, shade, 255], 4 * i);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** A table of rows, a sample each; `heads` are what stands before each row. */
export function makeTable(rows, columns, heads) {
  const names = columns.length ? columns : [rows[0]].flat(Infinity).map((_, i) => String(i));
  const top = names.map((name) => make("th", { scope: "col" }, name));
  const body = rows.map((row, i) =>
    make(
      "tr", {},
      make("th", { scope: "row" }, heads[i]),
      ...[row].flat(Infinity).map((value) => make("td", {}, formatNumber(value))),
    ),
  );
  return make(
    "table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "sample"), ...top)),
    make("tbody", {}, ...body),
  );
}

const formatNumber = (value) =>
  Number.isInteger(value) ? String(value) : Number(value.toPrecision(4)).toString();
