// The viewer: window and level, zoom and pan, invert, heat map. Both panes are redrawn from one state.
//
// The server sends 8 bits. A filter stretches them while the window changes; when it rests and the file has more bits,
// the server draws the window from all of them.
(function () {
  "use strict";
  const viewer = document.getElementById("viewer");
  const $ = (id) => document.getElementById(id);
  const frame = $("frame");
  const all = (selector) => [...viewer.querySelectorAll(selector)];
  const films = all(".film"), sheets = all(".sheet");
  const layer = viewer.querySelector(".layer");
  const classes = all('input[name="shown"]'), drags = all('input[name="drag"]');
  const image = `/api/v1/studies/${viewer.dataset.study}/image.png`;
  const deep = Number(viewer.dataset.bits) > 8;
  const LARGEST = 16;
  const fresh = () => ({ level: 50, width: 100, inverted: false, scale: 1, x: 0, y: 0, beside: false });
  let state = fresh();
  let drawn = { low: 0, high: 1 }; // the window of the picture from the server

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const ends = () => ({ low: (state.level - state.width / 2) / 100, high: (state.level + state.width / 2) / 100 });

  function redraw() {
    drawWindow();
    for (const sheet of sheets) sheet.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.scale})`;
    viewer.classList.toggle("beside", state.beside);
    layer.style.opacity = $("map").checked ? $("opacity").value / 100 : 0;
    $("invert").setAttribute("aria-pressed", state.inverted);
    $("beside").setAttribute("aria-pressed", state.beside);
    frame.classList.toggle("moves", dragging() === "pan");
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
    if (deep) requestWindow();
  }

  let rest = 0;
  function requestWindow() {
    clearTimeout(rest);
    rest = setTimeout(async () => {
      const window = ends();
      if (window.low === drawn.low && window.high === drawn.high) return;
      const next = new Image();
      next.src = `${image}?low=${window.low.toFixed(4)}&high=${window.high.toFixed(4)}`;
      try { await next.decode(); } catch { return; } // keep the filter
      const now = ends();
      if (now.low !== window.low || now.high !== window.high) return;
      drawn = window;
      for (const film of films) film.src = next.src;
      drawWindow();
    }, 300);
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
    $("readout").textContent = `L ${Math.round(state.level)}  W ${Math.round(state.width)}  ${Math.round(100 * state.scale)} %${state.inverted ? "  inverted" : ""}`;
  }

  const dragging = () => drags.find((field) => field.checked).value;

  function setWindow(level, width) {
    state.level = clamp(level, 0, 100);
    state.width = clamp(width, 1, 200);
    redraw();
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
    const pane = viewer.querySelector(".pane.mapped");
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

  /** Return the position of a pointer from the centre of its pane. */
  function place(event) {
    const pane = event.target.closest(".pane") || viewer.querySelector(".pane.mapped");
    const box = pane.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  }

  async function showClass(field) {
    field.checked = true;
    const url = `/api/v1/studies/${viewer.dataset.study}/heatmap.png?class=${encodeURIComponent(field.value)}`;
    const name = field.nextElementSibling.textContent;
    $("empty").textContent = field.dataset.evidence === "yes" ? "" : `No area raised the score of ${name}: its map is empty.`;
    layer.src = url;
  }

  function toggle(id) {
    const box = $(id);
    box.checked = !box.checked;
    redraw();
  }

  function reset() {
    state = { ...fresh(), beside: state.beside };
    $("opacity").value = 60;
    $("map").checked = true;
    redraw();
  }

  function help() {
    const keys = $("keys");
    keys.hidden = !keys.hidden;
    $("help").setAttribute("aria-expanded", !keys.hidden);
  }

  // One pointer drags (window or picture), two pinch.
  const pointers = new Map();
  frame.addEventListener("pointerdown", (event) => {
    if (event.button > 2) return;
    frame.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, pan: event.button !== 0 || event.shiftKey });
    frame.focus({ preventScroll: true });
  });
  frame.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { ...before, x: event.clientX, y: event.clientY };
    const dx = now.x - before.x, dy = now.y - before.y;
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
      zoom(apart(now) / apart(before), ...Object.values(place(event)));
      move(dx / 2, dy / 2);
    } else if ((dragging() === "pan") !== before.pan) move(dx, dy);
    else setWindow(state.level + dy / 6, state.width + dx / 3);
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
  for (const id of ["opacity", "map"]) $(id).addEventListener("input", redraw);
  for (const field of drags) field.addEventListener("change", redraw);
  for (const field of classes) field.addEventListener("change", () => showClass(field));
  const press = {
    invert: () => { state.inverted = !state.inverted; redraw(); },
    beside: () => { state.beside = !state.beside; redraw(); keepInside(); redraw(); },
    smaller: () => zoom(1 / 1.25),
    larger: () => zoom(1.25),
    reset,
    help,
  };
  for (const [id, act] of Object.entries(press)) $(id).addEventListener("click", act);

  const opacity = (by) => { $("opacity").value = Number($("opacity").value) + by; redraw(); };
  const keys = {
    h: () => toggle("map"), i: press.invert, s: press.beside, 0: reset, "?": help,
    "+": press.larger, "=": press.larger, "-": press.smaller, "[": () => opacity(-10), "]": () => opacity(10),
    l: () => setWindow(state.level + 2, state.width), L: () => setWindow(state.level - 2, state.width),
    w: () => setWindow(state.level, state.width + 4), W: () => setWindow(state.level, state.width - 4),
    d: () => { drags.find((field) => !field.checked).checked = true; redraw(); },
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
    const act = chosen ? () => showClass(chosen) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  const kept = $("keys-on");
  try { kept.checked = localStorage.getItem("keys") !== "off"; } catch { /* storage is off: keys are on */ }
  kept.addEventListener("change", () => { try { localStorage.setItem("keys", kept.checked ? "on" : "off"); } catch { /* this page only */ } });
  addEventListener("resize", () => { keepInside(); redraw(); });
  redraw();
})();
