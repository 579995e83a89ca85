// Scrolls through the images of a series, with a mask over each, in a window that may be chosen. Part of hilum; asks this host alone.
"use strict";
(() => {
  const viewer = document.querySelector(".viewer");
  if (!viewer) return;
  const told = JSON.parse(viewer.dataset.told);
  const marked = new Set(told.marked);
  const stage = viewer.querySelector(".stage"), layers = viewer.querySelector(".layers");
  const slider = viewer.querySelector(".slice"), opacity = viewer.querySelector(".opacity");
  const trouble = viewer.querySelector(".trouble"), place = viewer.querySelector(".place");
  const last = told.images.length - 1, AHEAD = 6, KEPT = 64;
  const kept = new Map(); // index -> {nodes, ready}; the oldest go first
  let at = -1, shown = -1, hidden = false, rolled = 0, direction = 1, look = 0;

  // ---- the window: as the images say, or [centre, width]; for the images of this modality of this study, while the tab is open
  const form = viewer.querySelector(".window"), memory = `window ${told.study} ${told.modality}`;
  let chosen = null;

  function remembered() {
    try {
      const found = JSON.parse(sessionStorage.getItem(memory));
      return Array.isArray(found) && found.length === 2 && found.every(Number.isFinite) && found[1] > 0 ? found : null;
    } catch {
      return null;
    }
  }

  function remember() {
    try {
      if (chosen) sessionStorage.setItem(memory, JSON.stringify(chosen));
      else sessionStorage.removeItem(memory);
    } catch { /* a browser that keeps nothing forgets it with the page */ }
  }

  function fill() {
    const [centre, width] = chosen || told.window;
    if (Number(form.elements.centre.value) !== centre || !form.elements.centre.value) form.elements.centre.value = centre;
    if (Number(form.elements.width.value) !== width || !form.elements.width.value) form.elements.width.value = width;
    for (const preset of form.querySelectorAll("[data-window]")) {
      preset.setAttribute("aria-pressed", String(preset.dataset.window === (chosen ? chosen.join(",") : "")));
    }
    viewer.dataset.window = chosen ? chosen.join(",") : "";
  }

  function choose(window) {
    chosen = window;
    remember();
    fill();
    look += 1;
    kept.clear();
    const again = at;
    at = -1;
    show(again);
  }

  const query = () => (chosen ? `?centre=${chosen[0]}&width=${chosen[1]}` : "");
  const address = (index) => `/api/studies/${told.study}/images/${told.images[index][0]}/${told.images[index][1]}`;

  function layer(source, name) {
    const node = new Image();
    node.alt = "";
    node.className = name;
    node.src = source;
    // what is wrong is asked for only then: a picture tells a script nothing
    const ready = node.decode().catch(async () => {
      const answer = await fetch(source);
      const type = answer.headers.get("content-type") || "";
      throw new Error(type.startsWith("application/json") ? (await answer.json()).error : "the picture cannot be shown");
    });
    return { node, ready };
  }

  function load(index) {
    let entry = kept.get(index);
    if (!entry) {
      const parts = [layer(`${address(index)}.png${query()}`, "base")];
      if (told.mask && marked.has(index)) parts.push(layer(`${address(index)}/mask/${told.mask}.png`, "mask"));
      // an image is shown when its own mask is there too, never with another's
      entry = { nodes: parts.map((part) => part.node), ready: Promise.all(parts.map((part) => part.ready)) };
      const made = entry;
      entry.ready.catch(() => { if (kept.get(index) === made) kept.delete(index); });
      kept.set(index, entry);
      for (const old of kept.keys()) {
        if (kept.size <= KEPT) break;
        if (old !== at && old !== shown) kept.delete(old);
      }
    }
    return entry;
  }

  function tint() {
    const share = hidden || !opacity ? 0 : opacity.value / 100;
    for (const node of layers.querySelectorAll(".mask")) node.style.opacity = share;
  }

  function edges(index) {
    const known = told.edges.filter((each) => each[0] <= index).pop() || [0, "", "", "", ""];
    ["left", "right", "top", "bottom"].forEach((side, number) => {
      stage.querySelector(`.edge.at-${side}`).textContent = known[number + 1];
    });
  }

  async function show(index) {
    const wanted = Math.max(0, Math.min(last, index));
    if (wanted === at) return;
    direction = wanted < at ? -1 : 1;
    at = wanted;
    slider.value = wanted + 1;
    place.textContent = `${wanted + 1} / ${last + 1}`;
    const entry = load(wanted), mine = look;
    try {
      await entry.ready;
      if (at !== wanted || look !== mine) return;
      trouble.hidden = true;
      layers.replaceChildren(...entry.nodes);
      edges(wanted);
      tint();
    } catch (error) {
      if (at !== wanted || look !== mine) return;
      layers.replaceChildren();
      edges(-1);
      trouble.textContent = error.message;
      trouble.hidden = false;
    }
    shown = wanted;
    viewer.dataset.shown = wanted + 1;
    for (let step = 1; step <= AHEAD; step += 1) {
      const next = wanted + direction * step;
      if (next >= 0 && next <= last && at === wanted && look === mine) await load(next).ready.catch(() => {});
    }
  }

  function toMarked(way) {
    const found = (way > 0 ? told.marked : [...told.marked].reverse()).find((index) => way * (index - at) > 0);
    if (found !== undefined) show(found);
  }

  // ---- larger and elsewhere: the layers move, the letters at the edges stay
  const MOST_ZOOM = 16;
  let zoom = 1, panX = 0, panY = 0;

  function place_() {
    // what is shown stays within reach
    const reachX = stage.clientWidth * zoom / 2, reachY = stage.clientHeight * zoom / 2;
    panX = Math.max(-reachX, Math.min(reachX, panX));
    panY = Math.max(-reachY, Math.min(reachY, panY));
    layers.style.transform = `translate(${panX}px, ${panY}px) scale(${zoom})`;
    viewer.dataset.zoom = zoom.toFixed(2);
    viewer.dataset.pan = `${Math.round(panX)},${Math.round(panY)}`;
  }

  function enlarge(factor) {
    const wanted = Math.max(1, Math.min(MOST_ZOOM, zoom * factor));
    panX *= wanted / zoom;
    panY *= wanted / zoom;
    zoom = wanted;
    if (zoom === 1) panX = panY = 0;
    place_();
  }

  function move(right, down) {
    panX += right;
    panY += down;
    place_();
  }

  function rewindow(brighter, steeper) {
    if (!form) return;
    const [centre, width] = chosen || told.window;
    choose([Number((centre - brighter * width).toPrecision(6)), Number(Math.max(width * (1 - steeper), 1e-3).toPrecision(6))]);
  }

  const STEP = 60;
  const doing = {
    in: () => enlarge(1.25), out: () => enlarge(0.8), fit: () => { zoom = 1; panX = panY = 0; place_(); },
    left: () => move(-STEP, 0), right: () => move(STEP, 0), up: () => move(0, -STEP), down: () => move(0, STEP),
    brighter: () => rewindow(0.1, 0), darker: () => rewindow(-0.1, 0), steeper: () => rewindow(0, 0.1), flatter: () => rewindow(0, -0.1),
  };
  for (const button of viewer.querySelectorAll("[data-do]")) button.addEventListener("click", doing[button.dataset.do]);
  const drags = [...viewer.querySelectorAll("[data-drag]")];
  let drag = "pan", held = null;
  for (const button of drags) {
    button.addEventListener("click", () => {
      drag = button.dataset.drag;
      for (const one of drags) one.setAttribute("aria-pressed", String(one === button));
    });
  }
  stage.addEventListener("dragstart", (event) => event.preventDefault());  // else the browser drags the picture, and cancels the pointer
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    held = { x: event.clientX, y: event.clientY, window: chosen || told.window, told: 0 };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!held) { under(event); return; }
    const right = event.clientX - held.x, down = event.clientY - held.y;
    if (drag === "window" && form) {
      const [centre, width] = held.window, per = width / 400;
      held.wanted = [Number((centre + down * per).toPrecision(6)), Number(Math.max(width + right * per, width / 100).toPrecision(6))];
      if (event.timeStamp - held.told > 150) { held.told = event.timeStamp; choose(held.wanted); }
      return;
    }
    if (drag === "zoom") enlarge(2 ** (-down / 150));
    else move(right, down);
    held.x = event.clientX;
    held.y = event.clientY;
  });
  for (const over of ["pointerup", "pointercancel"]) {
    stage.addEventListener(over, () => {
      if (held && held.wanted) choose(held.wanted);
      held = null;
    });
  }

  // ---- the value under the cursor: asked for once it rests
  const says = viewer.querySelector(".under"), unit = told.modality === "CT" ? " HU" : "";
  let resting, asked = 0;

  function under(event) {
    clearTimeout(resting);
    const shown_ = layers.querySelector(".base");
    if (!shown_ || !shown_.naturalWidth) return;
    const box = layers.getBoundingClientRect(), scale = Math.min(box.width / shown_.naturalWidth, box.height / shown_.naturalHeight);
    const right = (event.clientX - box.left - box.width / 2) / (shown_.naturalWidth * scale) + 0.5;
    const down = (event.clientY - box.top - box.height / 2) / (shown_.naturalHeight * scale) + 0.5;
    if (right < 0 || right > 1 || down < 0 || down > 1) { says.textContent = "Point at the image for its value."; return; }
    resting = setTimeout(async () => {
      const mine = asked += 1, index = at;
      const answer = await fetch(`${address(index)}/value?right=${right.toFixed(5)}&down=${down.toFixed(5)}`).catch(() => null);
      if (mine !== asked || index !== at) return;
      if (!answer || !answer.ok) { says.textContent = "–"; return; }
      const found = await answer.json();
      const value = found.value === null ? "no value" : `${Number(found.value.toPrecision(6))}${unit}`;
      says.textContent = `${value} at column ${found.column + 1}, row ${found.row + 1}`;
    }, 120);
  }

  const keys = {
    ArrowDown: () => show(at + 1), ArrowRight: () => show(at + 1), ArrowUp: () => show(at - 1), ArrowLeft: () => show(at - 1),
    PageDown: () => show(at + 10), PageUp: () => show(at - 10), Home: () => show(0), End: () => show(last),
    "+": doing.in, "=": doing.in, "-": doing.out, f: doing.fit, ".": doing.brighter, ",": doing.darker, "]": doing.steeper, "[": doing.flatter,
    n: () => toMarked(1), p: () => toMarked(-1), m: () => { hidden = !hidden; tint(); },
  };
  const presets = form ? [...form.querySelectorAll("[data-window]")] : [];
  presets.forEach((preset, number) => {
    const act = () => choose(preset.dataset.window ? preset.dataset.window.split(",").map(Number) : null);
    preset.addEventListener("click", act);
    keys[number] = act;
  });
  document.addEventListener("keydown", (event) => {
    const letter = event.key.length === 1, moves = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
    const act = event.shiftKey && moves[event.key] ? doing[moves[event.key]] : keys[letter ? event.key.toLowerCase() : event.key];
    if (letter && !window.hilumKeysOn()) return;
    if (document.querySelector("dialog[open]")) return;
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target === opacity || event.target.type === "number") return;
    event.preventDefault();
    act();
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    rolled += event.deltaMode === 0 ? event.deltaY / 60 : event.deltaY;
    const steps = Math.trunc(rolled);
    rolled -= steps;
    if (steps) show(at + steps);
  }, { passive: false });
  slider.addEventListener("input", () => show(slider.value - 1));
  if (opacity) opacity.addEventListener("input", () => { hidden = false; tint(); });
  for (const swatch of viewer.querySelectorAll(".swatch")) swatch.style.backgroundColor = `rgb(${swatch.dataset.rgb})`;
  if (form) {
    let typed;
    const take = () => {
      clearTimeout(typed);
      const [centre, width] = [form.elements.centre.valueAsNumber, form.elements.width.valueAsNumber];
      const known = chosen || told.window;
      if (form.checkValidity() && (centre !== known[0] || width !== known[1])) choose([centre, width]);
    };
    // whoever holds an arrow key down asks for the last one
    form.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(take, 200); });
    form.addEventListener("submit", (event) => { event.preventDefault(); take(); });
    chosen = remembered();
    fill();
  }
  // from here on somebody listens to them
  for (const one of viewer.querySelectorAll("[disabled]")) one.disabled = false;
  stage.focus();
  show(told.marked.length ? told.marked[Math.floor(told.marked.length / 2)] : Math.floor(last / 2));
})();
