// What every page has: times in the reader's zone, confirmations, keys, and how much there is to look at in the title. Part of hilum; asks
// this host alone.
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

  // ---- confirmations
  function confirmed(form, submitter) {
    const dialog = document.getElementById("confirm"), yes = document.getElementById("confirm-yes"), no = document.getElementById("confirm-no");
    document.getElementById("confirm-words").textContent = (submitter && submitter.dataset.confirm) || form.dataset.confirm;
    const go = () => {
      dialog.close();
      form.dataset.confirmed = "yes";
      // the page may have renewed itself meanwhile
      if (!form.isConnected) { form.hidden = true; document.body.append(form); }
      form.requestSubmit(submitter && submitter.isConnected ? submitter : null);
    };
    const end = () => { yes.removeEventListener("click", go); no.removeEventListener("click", shut); };
    const shut = () => dialog.close();
    yes.addEventListener("click", go);
    no.addEventListener("click", shut);
    dialog.addEventListener("close", end, { once: true });
    dialog.showModal();
    no.focus();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target, asks = form.dataset.confirm || (event.submitter && event.submitter.dataset.confirm);
    if (!asks) return;
    if (form.dataset.confirmed) { delete form.dataset.confirmed; return; }
    event.preventDefault();
    event.stopImmediatePropagation();
    confirmed(form, event.submitter);
  }, true);

  document.addEventListener("change", (event) => {
    const name = event.target.dataset.ticks;
    if (name) for (const one of event.target.form.querySelectorAll(`input[name="${name}"]`)) one.checked = event.target.checked;
  });

  // ---- keys
  const OFF = "keys off";
  const on = () => { try { return !localStorage.getItem(OFF); } catch { return true; } };
  window.hilumKeysOn = on;
  let led = 0;

  function sheet() {
    const keys = document.getElementById("keys"), open = document.getElementById("keys-open");
    if (!keys) return;
    const box = document.getElementById("keys-on");
    box.checked = on();
    box.addEventListener("change", () => {
      try { if (box.checked) localStorage.removeItem(OFF); else localStorage.setItem(OFF, "yes"); } catch { /* it counts until the page is left */ }
    });
    open.hidden = false;
    open.addEventListener("click", () => keys.showModal());
    document.getElementById("keys-close").addEventListener("click", () => keys.close());
  }

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
    document.body.addEventListener("htmx:afterSettle", () => tell(document));
    document.body.addEventListener("htmx:sseMessage", () => tell(document));
  });
})();
