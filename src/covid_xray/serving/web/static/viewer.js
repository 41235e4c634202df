// The viewer: window and level, zoom and pan, invert, measure, heat map. Both panes are redrawn from one state.
//
// The server first sends a small picture of 8 bits. A filter stretches it while the window changes; when it rests and
// the file has more bits, the server draws the window from all of them. Zooming in asks for every pixel.
(function () {
  "use strict";
  const { kept, keep, word } = globalThis.shared;
  const { autoWindow, distance } = globalThis.viewerTools;
  const viewer = document.getElementById("viewer");
  const $ = (id) => document.getElementById(id);
  const frame = $("frame"), pane = viewer.querySelector(".pane.mapped .area");
  const all = (selector) => [...viewer.querySelectorAll(selector)];
  const films = all(".film"), sheets = all(".sheet");
  const layer = viewer.querySelector(".layer"), lines = all(".measure line");
  const classes = all('input[name="shown"]'), drags = all('input[name="drag"]');
  const { image, heatmap, other } = viewer.dataset;
  const deep = Number(viewer.dataset.bits) > 8;
  const preview = Number(viewer.dataset.preview);
  const whole = Math.min(8192, Math.max(...all(".area").flatMap(({ dataset }) => [Number(dataset.width), Number(dataset.height)])));
  const sources = films.map((film) => film.getAttribute("src").split("?")[0]);
  const LARGEST = 16, MAP_SIZE = 320;
  const fresh = () => ({ level: 50, width: 100, inverted: false, scale: 1, x: 0, y: 0, beside: Boolean(other) });
  let state = fresh();
  let drawn = { low: 0, high: 1, size: preview }; // what the server drew
  
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const ends = () => ({ low: (state.level - state.width / 2) / 100, high: (state.level + state.width / 2) / 100 });
  const dragging = () => drags.find((field) => field.checked).value;

  function redraw() {
    drawWindow();
    for (const sheet of sheets) sheet.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.scale})`;
    viewer.classList.toggle("beside", state.beside);
    showMap();
    $("invert").setAttribute("aria-pressed", state.inverted);
    $("beside").setAttribute("aria-pressed", state.beside);
    frame.dataset.drag = dragging();
    frame.classList.toggle("holds", state.scale > 1 || dragging() === "measure"); // else a swipe scrolls the page
    showValues();
  }

  function drawWindow() {
    const { low, high } = ends();
    let slope = (drawn.high - drawn.low) / (high - low);
    let intercept = (drawn.low - low) / (high - low);
    if (state.inverted) [slope, intercept] = [-slope, 1 - intercept];
    for (const part of viewer.querySelectorAll("#window feComponentTransfer > *")) {
      part.setAttribute("slope", slope.toFixed(5));
      part.setAttribute("intercept", intercept.toFixed(5));
    }
    const neutral = Math.abs(slope - 1) < 1e-4 && Math.abs(intercept) < 1e-4;
    for (const film of films) film.style.filter = neutral ? "" : "url(#window)";
    requestPicture();
  }

  let rest = 0;
  const wanted = () => ({
    ...(deep ? ends() : { low: 0, high: 1 }),
    size: state.scale > 1 ? Math.max(whole, drawn.size) : drawn.size,
  });
  const same = (one, two) => one.low === two.low && one.high === two.high && one.size === two.size;

  function requestPicture() {
    clearTimeout(rest);
    if (same(wanted(), drawn)) return;
    rest = setTimeout(async () => {
      const asked = wanted();
      const window = asked.low === 0 && asked.high === 1 ? "" : `&low=${asked.low.toFixed(4)}&high=${asked.high.toFixed(4)}`;
      const urls = sources.map((source) => `${source}?size=${asked.size}${window}`);
      try {
        await Promise.all([...new Set(urls)].map((url) => { const next = new Image(); next.src = url; return next.decode(); }));
      } catch { return; } // keep the filter and the small picture
      if (!same(wanted(), asked)) return;
      drawn = asked;
      films.forEach((film, at) => { film.src = urls[at]; });
      redraw();
    }, 250);
  }

  function showMap() {
    const shown = $("map").checked;
    if (shown && !layer.src) loadMap();
    layer.hidden = !shown || !layer.src;
    layer.style.opacity = $("opacity").value / 100;
    const field = classes.find((one) => one.checked);
    $("empty").textContent = shown && field.dataset.evidence === "no" ? field.dataset.none : "";
  }

  function loadMap() {
    const field = classes.find((one) => one.checked);
    layer.src = `${heatmap}?class=${encodeURIComponent(field.value)}&size=${MAP_SIZE}`;
  }

  function showValues() {
    const show = (id, value) => {
      const field = $(id);
      field.value = value;
      const output = viewer.querySelector(`output[for="${id}"]`);
      if (output) output.textContent = `${Math.round(value)} %`;
    };
    show("level", state.level);
    show("width", state.width);
    show("opacity", $("opacity").value);
    $("zoom").textContent = `${Math.round(100 * state.scale)} %`;
    const parts = [`L ${Math.round(state.level)}`, `W ${Math.round(state.width)}`, `${Math.round(100 * state.scale)} %`];
    if (state.inverted) parts.push(word("inverted"));
    if (state.scale > 1) parts.push(drawn.size >= whole ? word("every-pixel") : word("loading"));
    $("readout").textContent = parts.join("  ");
  }

  function setWindow(level, width) {
    state.level = clamp(level, 0, 100);
    state.width = clamp(width, 1, 200);
    redraw();
  }

  function auto() {
    const { low, high } = autoWindow(films.at(-1), drawn);
    setWindow(50 * (low + high), 100 * (high - low));
  }

  /** Zoom around the point (x, y), measured from the centre of the pane. */
  function zoom(factor, x = 0, y = 0) {
    const scale = clamp(state.scale * factor, 1, LARGEST);
    const by = scale / state.scale;
    state.x = x - (x - state.x) * by;
    state.y = y - (y - state.y) * by;
    state.scale = scale;
    keepInside();
    redraw();
  }

  function keepInside() {
    const most = (side) => side * (state.scale - 1) / 2;
    state.x = clamp(state.x, -most(pane.clientWidth), most(pane.clientWidth));
    state.y = clamp(state.y, -most(pane.clientHeight), most(pane.clientHeight));
  }

  function move(dx, dy) {
    state.x += dx;
    state.y += dy;
    keepInside();
    redraw();
  }

  /** Return the film below a pointer; the frame captures a pointer that drags, and is then its target. */
  const areaOf = (event) => event.target.closest(".area") || pane;

  /** Return the position of a pointer from the centre of a film. */
  function place(event, area = areaOf(event)) {
    const box = area.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  }

  function onSheet(event, area) {
    const { x, y } = place(event, area);
    return { x: (x - state.x) / state.scale + pane.clientWidth / 2, y: (y - state.y) / state.scale + pane.clientHeight / 2 };
  }

  /** Draw a line on one of the films and give its length in the pixels of that film; without points clear it. */
  function measure(area, from, to) {
    const none = { x: 0, y: 0 };
    for (const line of lines) {
      const [one, two] = to && area.contains(line) ? [from, to] : [none, none];
      for (const [name, value] of Object.entries({ x1: one.x, y1: one.y, x2: two.x, y2: two.y })) line.setAttribute(name, value);
    }
    if (!to) { $("measured").textContent = ""; return; }
    const size = { width: Number(area.dataset.width), height: Number(area.dataset.height) };
    const { unit, length } = distance(from, to, area, size, area.dataset.spacing?.split(" ").map(Number));
    $("measured").textContent = word(unit === "mm" ? "millimetres" : "pixels", { length: length.toFixed(unit === "mm" ? 1 : 0) });
  }

  function toggleMap() {
    $("map").checked = !$("map").checked;
    keepMap();
  }

  function keepMap() {
    keep("heatmap", $("map").checked ? "on" : "off");
    redraw();
  }

  function reset() {
    state = { ...fresh(), beside: state.beside };
    $("opacity").value = 60;
    measure();
    redraw();
  }

  function help() {
    const keys = $("keys");
    if (keys.open) keys.close();
    else keys.showModal();
  }

  // One pointer drags, two pinch. A finger scrolls the page at 100 % and moves the enlarged picture.
  const pointers = new Map();
  function actOf(event, dragged) {
    if (dragging() === "measure") return "measure";
    if (event.pointerType === "touch") return state.scale > 1 ? "pan" : "scroll";
    return (dragging() === "pan") !== dragged ? "pan" : "window";
  }
  frame.addEventListener("pointerdown", (event) => {
    if (event.button > 2) return;
    const act = actOf(event, event.button !== 0 || event.shiftKey);
    if (act !== "scroll") frame.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, act, area: areaOf(event), from: onSheet(event, areaOf(event)) });
    frame.focus({ preventScroll: true });
  });
  frame.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { ...before, x: event.clientX, y: event.clientY };
    const dx = now.x - before.x, dy = now.y - before.y;
    if (pointers.size === 2) {
      const elsewhere = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.hypot(one.x - elsewhere.x, one.y - elsewhere.y) || 1;
      zoom(apart(now) / apart(before), ...Object.values(place(event, before.area)));
      move(dx / 2, dy / 2);
    } else if (before.act === "pan") move(dx, dy);
    else if (before.act === "measure") measure(before.area, before.from, onSheet(event, before.area));
    else if (before.act === "window") setWindow(state.level + dy / 6, state.width + dx / 3);
    pointers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => pointers.delete(event.pointerId));
  frame.addEventListener("contextmenu", (event) => event.preventDefault());
  frame.addEventListener("dblclick", () => reset());
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = place(event);
    zoom(Math.exp(-clamp(event.deltaY, -120, 120) / 400), x, y);
  }, { passive: false });

  for (const id of ["level", "width"]) $(id).addEventListener("input", () => setWindow(Number($("level").value), Number($("width").value)));
  $("opacity").addEventListener("input", redraw);
  $("map").addEventListener("input", keepMap);
  for (const field of drags) field.addEventListener("change", redraw);
  for (const field of classes) field.addEventListener("change", () => { $("map").checked = true; loadMap(); keepMap(); });
  layer.addEventListener("load", showMap);
  const press = {
    auto,
    invert: () => { state.inverted = !state.inverted; redraw(); },
    beside: () => { state.beside = !state.beside; redraw(); keepInside(); measure(); redraw(); },
    smaller: () => zoom(1 / 1.25),
    larger: () => zoom(1.25),
    reset,
    help,
  };
  for (const [id, act] of Object.entries(press)) $(id).addEventListener("click", act);

  const opacity = (by) => { $("opacity").value = Number($("opacity").value) + by; redraw(); };
  const keys = {
    h: toggleMap, a: auto, i: press.invert, s: press.beside, 0: reset, "?": help,
    "+": press.larger, "=": press.larger, "-": press.smaller, "[": () => opacity(-10), "]": () => opacity(10),
    l: () => setWindow(state.level + 2, state.width), L: () => setWindow(state.level - 2, state.width),
    w: () => setWindow(state.level, state.width + 4), W: () => setWindow(state.level, state.width - 4),
    d: () => { drags[(drags.findIndex((field) => field.checked) + 1) % drags.length].checked = true; redraw(); },
    n: () => $("after")?.click(), p: () => $("before")?.click(),
  };
  const arrows = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !$("keys-on").checked) return;
    if (event.key in arrows && document.activeElement === frame && state.scale > 1) {
      event.preventDefault();
      move(...arrows[event.key]);
      return;
    }
    if (event.target.closest("input:not([type=range], [type=checkbox], [type=radio]), select, textarea")) return;
    const chosen = classes[Number(event.key) - 1];
    const act = chosen ? () => { chosen.checked = true; chosen.dispatchEvent(new Event("change")); } : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  $("keys-on").checked = kept("keys") !== "off";
  $("keys-on").addEventListener("change", () => keep("keys", $("keys-on").checked ? "on" : "off"));
  // "Cannot say" shows no heat map unless it is asked for on this page.
  $("map").checked = kept("heatmap") === "on" && viewer.dataset.answer !== "cannot-say";
  addEventListener("resize", () => { keepInside(); measure(); redraw(); });
  redraw();
})();
