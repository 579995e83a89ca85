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

  const keys = {
    ArrowDown: () => show(at + 1), ArrowRight: () => show(at + 1), ArrowUp: () => show(at - 1), ArrowLeft: () => show(at - 1),
    PageDown: () => show(at + 10), PageUp: () => show(at - 10), Home: () => show(0), End: () => show(last),
    n: () => toMarked(1), p: () => toMarked(-1), m: () => { hidden = !hidden; tint(); },
  };
  const presets = form ? [...form.querySelectorAll("[data-window]")] : [];
  presets.forEach((preset, number) => {
    const act = () => choose(preset.dataset.window ? preset.dataset.window.split(",").map(Number) : null);
    preset.addEventListener("click", act);
    keys[number] = act;
  });
  document.addEventListener("keydown", (event) => {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
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
  stage.focus();
  show(told.marked.length ? told.marked[Math.floor(told.marked.length / 2)] : Math.floor(last / 2));
})();
