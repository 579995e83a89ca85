// Numbers the lines of the routes, and shows what an answer says at them. Part of hilum; asks this host alone.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("routing");
  if (!form) return;
  const text = form.querySelector("textarea"), lines = form.querySelector(".lines"), checked = document.getElementById("checked");
  const first = Number(form.dataset.first);

  function number() {
    const count = text.value.split("\n").length;
    while (lines.childElementCount > count) lines.lastElementChild.remove();
    while (lines.childElementCount < count) {
      const line = document.createElement("li");
      line.textContent = first + lines.childElementCount;
      lines.append(line);
    }
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

  text.addEventListener("input", number);
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.name === "q") event.preventDefault(); });
  checked.addEventListener("click", (event) => {
    const one = event.target.closest("[data-line]");
    if (one) go(Number(one.dataset.line));
  });
  form.addEventListener("htmx:afterSettle", mark);
  // what is refused without a part of a page (too many tries, the session is over) is said where the answer would stand
  form.addEventListener("htmx:responseError", (event) => {
    const said = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").querySelector("main p");
    const words = document.createElement("p");
    words.className = "notice";
    words.textContent = said ? said.textContent : "the console refused this";
    event.detail.target.replaceChildren(words);
  });
  number();
  mark();
  // from here on somebody listens to them
  for (const one of form.querySelectorAll("[disabled]")) one.disabled = false;
});
