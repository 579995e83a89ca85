// Searches for what was typed before htmx listened: on a slow machine a person is faster. Part of hilum; asks this host alone.
"use strict";
document.addEventListener("htmx:load", () => {
  for (const field of document.querySelectorAll("input[type=search]")) {
    if (field.value !== field.defaultValue) htmx.trigger(field, "early");
  }
}, { once: true });
