// Numbers alone, and nothing of a page: an image brought to another size, and scores to labels.
//
// `resized` and `labelsOf` give what Pillow's `Image.resize` with BILINEAR gives, bit for bit, as
// `fcn_tf.Predictor` uses it: each new pixel is the mean of those below it, weighted by a triangle
// that is as wide as the change of scale, columns first, then rows.

const FRACTION = 2 ** 22; // Pillow's weights of 8-bit pixels are whole numbers of this part

/**
 * Which pixels of a side make each pixel of the new side, and their weights.
 * @param {number} from px of the side
 * @param {number} to px of the new side
 * @returns {{first: number, weights: number[]}[]} `to` of them; the weights add up to 1
 */
function windows(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const weights = [];
    for (let pixel = first; pixel < end; pixel++) {
      weights.push(Math.max(0, 1 - Math.abs((pixel - centre + 0.5) * (1 / reach))));
    }
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** The weights as whole parts of `FRACTION`. */
function inWholeParts(found) {
  return found.map(({ first, weights }) => ({
    first,
    weights: weights.map((weight) => Math.trunc(weight * FRACTION + 0.5)),
  }));
}

/**
 * Brings RGBA pixels to a size, without their alpha.
 * @param {Uint8ClampedArray} rgba height * width * 4
 * @param {{width: number, height: number}} from px
 * @param {{width: number, height: number}} to px
 * @returns {Uint8Array} to.height * to.width * 3, RGB
 */
export function resized(rgba, from, to) {
  const rgb = new Uint8Array(from.height * from.width * 3);
  for (let place = 0, out = 0; out < rgb.length; place++) {
    if (place % 4 !== 3) rgb[out++] = rgba[place];
  }
  // Pillow 13 begins with the rows where they become fewer by more than twice the columns.
  const lost = { rows: from.height - to.height, columns: from.width - to.width };
  if (lost.rows > 0 && lost.rows > 2 * lost.columns) {
    return withWidth(withHeight(rgb, from, to.height), { ...from, height: to.height }, to.width);
  }
  return withHeight(withWidth(rgb, from, to.width), { ...from, width: to.width }, to.height);
}

/** RGB pixels of a size, brought to a width. */
function withWidth(rgb, { width, height }, to) {
  if (width === to) return rgb;
  const across = inWholeParts(windows(width, to));
  const result = new Uint8Array(height * to * 3);
  for (let y = 0, out = 0; y < height; y++) {
    for (const { first, weights } of across) {
      for (let channel = 0; channel < 3; channel++, out++) {
        let sum = FRACTION / 2;
        let place = (y * width + first) * 3 + channel;
        for (let i = 0; i < weights.length; i++, place += 3) sum += weights[i] * rgb[place];
        result[out] = Math.floor(sum / FRACTION);
      }
    }
  }
  return result;
}

/** RGB pixels of a size, brought to a height. */
function withHeight(rgb, { width, height }, to) {
  if (height === to) return rgb;
  const row = width * 3;
  const result = new Uint8Array(to * row);
  inWholeParts(windows(height, to)).forEach(({ first, weights }, y) => {
    for (let x = 0; x < row; x++) {
      let sum = FRACTION / 2;
      let place = first * row + x;
      for (let i = 0; i < weights.length; i++, place += row) sum += weights[i] * rgb[place];
      result[y * row + x] = Math.floor(sum / FRACTION);
    }
  });
  return result;
}

/**
 * The best class of each pixel, after the scores were brought to a size.
 * @param {Float32Array} scores from.height * from.width * classes
 * @param {number} classes how many
 * @param {{width: number, height: number}} from px
 * @param {{width: number, height: number}} to px
 * @returns {Uint8Array} to.height * to.width
 */
export function labelsOf(scores, classes, from, to) {
  const across = windows(from.width, to.width);
  const labels = new Uint8Array(to.height * to.width);
  const rows = new Map(); // rows of the scores, brought to the new width, as long as they are needed
  windows(from.height, to.height).forEach(({ first, weights }, y) => {
    for (const number of rows.keys()) if (number < first) rows.delete(number);
    const needed = weights.map((_, i) => {
      if (!rows.has(first + i)) {
        rows.set(first + i, wideRow(scores, classes, (first + i) * from.width, across));
      }
      return rows.get(first + i);
    });
    for (let x = 0, place = 0; x < to.width; x++) {
      let best = -Infinity;
      for (let label = 0; label < classes; label++, place++) {
        let sum = 0;
        for (let i = 0; i < needed.length; i++) sum += needed[i][place] * weights[i];
        const score = Math.fround(sum);
        if (score > best) {
          best = score;
          labels[y * to.width + x] = label;
        }
      }
    }
  });
  return labels;
}

/** One row of scores at the new width, float32 width * classes. */
function wideRow(scores, classes, start, across) {
  const row = new Float32Array(across.length * classes);
  let out = 0;
  for (const { first, weights } of across) {
    for (let label = 0; label < classes; label++, out++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) {
        sum += scores[(start + first + i) * classes + label] * weights[i];
      }
      row[out] = sum;
    }
  }
  return row;
}
