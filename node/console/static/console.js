// What every page has: times in the reader's zone, confirmations, presses that count while a page renews itself, keys, and how much there is
// to look at in the title. It listens before there is anything to press: frame.html waits for it. Part of hilum; asks this host alone.
"use strict";
(() => {
  const zoned = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
  const title = document.title.replace(/^\(\d+\) /, "");

  function tell(root) {
    for (const one of root.querySelectorAll("time[datetime]")) {
      const at = new Date(one.dateTime);
      if (!Number.isNaN(at.getTime())) one.textContent = zoned.format(at);
    }
    // on a narrow screen a row is a block, and each cell says itself what it is
    for (const table of root.querySelectorAll("table")) {
      const names = [...table.querySelectorAll(":scope > thead th")].map((one) => one.textContent.trim());
      if (!names.some(Boolean)) continue;
      for (const row of table.querySelectorAll(":scope > tbody > tr")) {
        [...row.cells].forEach((cell, number) => { if (names[number] && !cell.dataset.label) cell.dataset.label = names[number]; });
      }
    }
    const tabs = document.getElementById("tabs"), count = Number(tabs ? tabs.dataset.badge : 0);
    document.title = count ? `(${count}) ${title}` : title;
    const badge = document.querySelector("#menu .badge");
    if (!badge) return;
    badge.textContent = count;
    badge.setAttribute("aria-label", `${count} to look at`);
    badge.hidden = !count;
  }

  // on a narrow screen the pages are behind a button; without scripts they stand there
  function menu() {
    const button = document.getElementById("menu");
    if (!button) return;
    const open = (yes) => button.setAttribute("aria-expanded", String(yes));
    button.hidden = false;
    button.addEventListener("click", () => open(button.getAttribute("aria-expanded") === "false"));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || button.getAttribute("aria-expanded") === "false" || document.querySelector("dialog[open]")) return;
      open(false);
      if (button.checkVisibility() && !document.getElementById("content").contains(document.activeElement)) button.focus();
    });
  }

  function zone() {
    const here = document.getElementById("zone");
    if (!here) return;
    const { timeZone } = zoned.resolvedOptions();
    const name = new Intl.DateTimeFormat("en", { timeZoneName: "longOffset" }).formatToParts(new Date()).find((one) => one.type === "timeZoneName");
    here.textContent = `${timeZone} (${name.value.replace("GMT", "UTC")})`;
  }

  // ---- confirmations. A form that asks before has the method `dialog`, which sends nothing, until somebody has said yes
  let asked = null, sure = null;

  function ask(form, submitter) {
    asked = { form, submitter };
    document.getElementById("confirm-words").textContent = (submitter && submitter.dataset.confirm) || form.dataset.confirm;
    document.getElementById("confirm").showModal();
    document.getElementById("confirm-no").focus();
  }

  document.addEventListener("click", ({ target }) => {
    if (target.id !== "confirm-yes") return;
    const { form, submitter } = asked;
    document.getElementById("confirm").close();
    // the page may have renewed itself meanwhile
    if (!form.isConnected) { form.hidden = true; document.body.append(form); }
    sure = form;
    form.method = "post";
    form.requestSubmit(submitter && submitter.isConnected ? submitter : null);
    form.method = "dialog";
    sure = null;
  });

  document.addEventListener("submit", (event) => {
    const form = event.target, asks = form.dataset.confirm || (event.submitter && event.submitter.dataset.confirm);
    if (!asks || form === sure) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(form, event.submitter);
  }, true);

  document.addEventListener("change", (event) => {
    const name = event.target.dataset.ticks;
    if (name) for (const one of event.target.form.querySelectorAll(`input[name="${name}"]`)) one.checked = event.target.checked;
  });

  // ---- presses. A part that renews itself takes what is pressed in it away, and the press with it: an answer that comes while something is
  // pressed is shown when it is released
  const held = [], TAP_MS = 300;
  let pressed = false;

  function press(event) {
    if (event.type === "keydown" ? event.key === " " : event.button === 0) pressed = true;
  }

  function release(event) {
    if (!pressed || (event.type === "pointermove" && event.buttons)) return;
    pressed = false;
    // the click comes behind the release: of a mouse and a key at once, of a finger when it is clear that it was a tap
    setTimeout(show, event.pointerType === "touch" ? TAP_MS : 0);
  }

  function show() {
    if (pressed) return;
    for (const one of held.splice(0)) try { one(); } catch (error) { reportError(error); }
  }

  for (const down of ["pointerdown", "keydown"]) window.addEventListener(down, press, true);
  // a menu, another window or what is dragged may take the release away: then the pointer comes back with nothing pressed
  for (const up of ["pointerup", "pointercancel", "keyup", "contextmenu", "pointermove"]) window.addEventListener(up, release, true);
  window.addEventListener("blur", release);

  document.addEventListener("htmx:beforeSend", ({ detail: { xhr } }) => {
    const { onload } = xhr;
    xhr.onload = () => {
      if (!pressed && !held.length) onload();
      else held.push(() => (xhr.readyState === XMLHttpRequest.DONE ? onload : xhr.onabort)());
    };
  });

  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (!pressed && !held.length) return;
    const { target, type, data } = event.detail;
    event.preventDefault();
    held.push(() => target.dispatchEvent(new MessageEvent(type, { data })));
  });

  // ---- who has the focus on something that is renewed, has it on its like afterwards
  let stood = null;

  function likes(one) {
    return [...document.querySelectorAll(one.localName)].filter((each) => each.isEqualNode(one) && (!one.form || one.form.isEqualNode(each.form)));
  }

  function leave() {
    const one = document.activeElement;
    stood = one && one !== document.body ? { one, place: likes(one).indexOf(one) } : null;
  }

  function back() {
    if (!stood || stood.one.isConnected || document.activeElement !== document.body) return;
    const found = likes(stood.one), like = found[stood.place] || found.at(-1);
    if (like) like.focus({ preventScroll: true });
  }

  for (const before of ["htmx:beforeSwap", "htmx:sseBeforeMessage"]) document.addEventListener(before, leave);
  document.addEventListener("htmx:afterSettle", back);

  // ---- keys
  const OFF = "keys off";
  const on = () => { try { return !localStorage.getItem(OFF); } catch { return true; } };
  window.hilumKeysOn = on;
  let led = 0;

  function sheet() {
    const keys = document.getElementById("keys"), open = document.getElementById("keys-open");
    if (!keys) return;
    document.getElementById("keys-on").checked = on();
    open.hidden = false;
    open.addEventListener("click", () => keys.showModal());
  }

  document.addEventListener("change", ({ target }) => {
    if (target.id !== "keys-on") return;
    try { if (target.checked) localStorage.removeItem(OFF); else localStorage.setItem(OFF, "yes"); } catch { /* it counts until the page is left */ }
  });

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !on() || document.querySelector("dialog[open]")) return;
    if (target.matches("input, textarea, select") && target.type !== "range") return;
    const leads = led && event.timeStamp - led < 1500;
    led = 0;
    if (leads) {
      const way = document.querySelector(`nav a[data-key="${CSS.escape(key.toLowerCase())}"]`);
      if (way) { event.preventDefault(); event.stopImmediatePropagation(); way.click(); }
    } else if (key === "g" || key === "G") {
      led = event.timeStamp;
    } else if (key === "?") {
      const keys = document.getElementById("keys");
      if (keys) { event.preventDefault(); keys.showModal(); }
    } else if (key === "/") {
      const search = document.querySelector("main input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  }, true);

  document.addEventListener("DOMContentLoaded", () => {
    tell(document);
    zone();
    sheet();
    menu();
    // from here on htmx listens to them
    if (window.htmx) for (const one of document.querySelectorAll("[hx-post][disabled]")) one.disabled = false;
    document.body.addEventListener("htmx:afterSettle", () => tell(document));
    document.body.addEventListener("htmx:sseMessage", () => tell(document));
  });
})();
