// Tools of the viewer that need no state of their own: automatic window, and distances on the picture.
(function () {
  "use strict";
  const SAMPLES = 256; // pixels of the longer side that the automatic window looks at
  const TAIL = 0.005; // share of the pixels that may become black, and white

  /** Return the window that shows all but the darkest and brightest pixels, in shares of the file's white. */
  function autoWindow(film, drawn) {
    const scale = SAMPLES / Math.max(film.naturalWidth, film.naturalHeight);
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(film.naturalWidth * scale));
    canvas.height = Math.max(1, Math.round(film.naturalHeight * scale));
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(film, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const counts = new Uint32Array(256);
    for (let at = 0; at < data.length; at += 4) counts[data[at]] += 1;
    const pixels = data.length / 4;
    const below = (share) => { let sum = 0; return counts.findIndex((n) => (sum += n) > share * pixels); };
    const place = (level) => drawn.low + (level / 255) * (drawn.high - drawn.low);
    const low = place(below(TAIL)), high = place(below(1 - TAIL));
    return high - low < 0.01 ? { low: drawn.low, high: drawn.high } : { low, high };
  }

  /** Return the place of the picture in a pane that it fits into: its scale and its left and top edge. */
  function fit(pane, { width, height }) {
    const scale = Math.min(pane.clientWidth / width, pane.clientHeight / height);
    return { scale, left: (pane.clientWidth - width * scale) / 2, top: (pane.clientHeight - height * scale) / 2 };
  }

  /** Measure between two points of the sheet: in mm where the distance of the pixels is known, else in pixels. */
  function distance(from, to, pane, size, spacing) {
    const { scale } = fit(pane, size);
    const columns = (to.x - from.x) / scale, rows = (to.y - from.y) / scale;
    if (!spacing) return { unit: "px", length: Math.hypot(rows, columns) };
    return { unit: "mm", length: Math.hypot(rows * spacing[0], columns * spacing[1]) };
  }

  globalThis.viewerTools = { autoWindow, distance };
})();
