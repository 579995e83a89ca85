// Numbers and colours the lines of an edited block, shows what an answer says at them, and keeps an edit that was not saved for as long as the
// tab is open. Part of hilum; asks this host alone.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("routing");
  if (!form) return;
  const text = form.querySelector("textarea"), lines = form.querySelector(".lines"), checked = document.getElementById("checked");
  const first = Number(form.dataset.first), sheet = form.querySelector(".sheet"), drawn = sheet.querySelector("code");
  const kept = document.getElementById("kept"), BLOCK = form.dataset.block, KEPT = `${BLOCK} edited by ${form.dataset.who}`;

  function number() {
    const count = text.value.split("\n").length;
    while (lines.childElementCount > count) lines.lastElementChild.remove();
    while (lines.childElementCount < count) {
      const line = document.createElement("li");
      line.textContent = first + lines.childElementCount;
      lines.append(line);
    }
  }

  function letter(at, words) {
    at.innerHTML = Prism.highlight(words, Prism.languages.yaml, "yaml");
  }

  function draw() {
    letter(drawn, text.value);
    sheet.classList.add("lettered");
    follow();
  }

  function follow() {
    lines.scrollTop = text.scrollTop;
    drawn.parentElement.style.transform = `translate(${-text.scrollLeft}px, ${-text.scrollTop}px)`;
  }

  // the tab's own: it outlasts a session that ends, and nobody finds it tomorrow. With it goes of which file it was made: by that, a change
  // that somebody else saved meanwhile is told
  function keep() {
    try {
      if (text.value === text.defaultValue) sessionStorage.removeItem(KEPT);
      else sessionStorage.setItem(KEPT, JSON.stringify({ text: text.value, digest: form.elements.digest.value }));
    } catch { /* the browser keeps nothing: the edit lasts as long as the page */ }
  }

  function edited() {
    number();
    draw();
    keep();
  }

  function put(words) {
    text.focus();
    text.value = words;
    edited();
  }

  function withExample() {
    const example = form.querySelector(".example pre").textContent, own = text.value.replace(/\s+$/, "");
    const empty = new RegExp(`^([ \\t]*${BLOCK}:)[ \\t]*(\\[[ \\t]*\\]|\\{[ \\t]*\\}|null|~)?$`, "m");
    const begun = empty.test(own) ? own.replace(empty, "$1") : own || `${BLOCK}:`;
    const entry = begun.match(BLOCK === "routes" ? /^( *)- /m : /^( +)[^\s#-]/m), indent = entry ? entry[1] : "  ";
    put(`${begun}\n\n${example.replace(/^ {2}/gm, indent)}`);
    form.querySelector(".example").open = false;
    text.setSelectionRange(text.value.length, text.value.length);
    text.scrollTop = text.scrollHeight;
  }

  function mark() {
    const wrong = new Set([...checked.querySelectorAll("[data-line]")].map((one) => Number(one.dataset.line)));
    [...lines.children].forEach((line, index) => line.classList.toggle("bad", wrong.has(first + index)));
  }

  function go(line) {
    const before = text.value.split("\n").slice(0, line - first).join("\n");
    const at = before.length + (line > first ? 1 : 0), end = text.value.indexOf("\n", at);
    text.focus();
    text.setSelectionRange(at, end < 0 ? text.value.length : end);
  }

  text.addEventListener("input", edited);
  text.addEventListener("scroll", follow);
  form.querySelector(".example button").addEventListener("click", withExample);
  kept.querySelector("button").addEventListener("click", () => {
    kept.hidden = true;
    form.elements.digest.value = ofFile;
    put(text.defaultValue);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.name === "q") event.preventDefault(); });
  checked.addEventListener("click", (event) => {
    const one = event.target.closest("[data-line]");
    if (one) go(Number(one.dataset.line));
  });
  form.addEventListener("htmx:afterSettle", () => {
    mark();
    for (const one of checked.querySelectorAll(".diff code:not(.lettered)")) {
      letter(one, one.textContent);
      one.classList.add("lettered");
    }
    if (!checked.querySelector("[data-saved]")) return;
    text.defaultValue = text.value;
    kept.hidden = true;
    keep();
  });
  // what is refused without a part of a page (too many tries, the session is over) is said where the answer would stand
  form.addEventListener("htmx:responseError", (event) => {
    const said = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").querySelector("main p");
    const words = document.createElement("p");
    words.className = "notice";
    words.textContent = said ? said.textContent : "the console refused this";
    event.detail.target.replaceChildren(words);
  });
  const ofFile = form.elements.digest.value;
  let before = null;
  try { before = JSON.parse(sessionStorage.getItem(KEPT)); } catch { /* none */ }
  if (before !== null && before.text !== text.defaultValue) {
    text.value = before.text;
    form.elements.digest.value = before.digest;
    kept.hidden = false;
  }
  edited();
  mark();
  // from here on somebody listens to them
  for (const one of form.querySelectorAll("[disabled]")) one.disabled = false;
});
