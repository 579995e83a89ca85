// Sends chosen files one after the other, tells what became of them, and leads to their studies once they are there. Part of hilum; asks
// this host alone.
"use strict";
(() => {
  const form = document.getElementById("upload");
  if (!form) return;
  const now = document.getElementById("upload-now"), left = document.getElementById("upload-left"), studies = document.getElementById("upload-studies");
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  function line(list, ...parts) {
    const one = document.createElement("li");
    one.append(...parts);
    list.append(one);
    return one;
  }

  async function lead(uid) {
    const one = line(studies, `Study ${uid} is on its way …`);
    for (let tries = 0; tries < 60; tries += 1) {
      const found = await fetch(`/api/studies/${encodeURIComponent(uid)}`);
      if (found.ok) {
        const link = document.createElement("a");
        link.href = `/studies/${encodeURIComponent(uid)}`;
        link.textContent = `Study ${uid}`;
        one.replaceChildren(link);
        return;
      }
      await pause(1000);
    }
    one.textContent = `Study ${uid} was taken, and is not in the journal yet: look under Studies in a while.`;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form), files = [...form.files.files], known = new Set();
    const button = form.querySelector("button");
    left.replaceChildren();
    studies.replaceChildren();
    button.disabled = true;
    let accepted = 0, done = 0;
    for (const file of files) {
      now.textContent = `Sending ${file.name}, ${done + 1} of ${files.length} …`;
      const asked = new URLSearchParams({ name: file.name.slice(0, 200), calling: fields.get("calling"), more: done + 1 < files.length });
      try {
        const answer = await fetch(`/api/upload?${asked}`, {
          method: "POST",
          body: file,
          headers: { "Content-Type": "application/octet-stream", "X-Form-Token": fields.get("form_token") },
        });
        const said = await answer.json();
        if (answer.ok) {
          accepted += said.accepted;
          for (const one of said.left) line(left, `${one.name}: ${one.reason}`);
          if (said.not_accepted > said.left.length) line(left, `… and ${said.not_accepted - said.left.length} more of ${file.name}`);
          for (const uid of said.studies) if (!known.has(uid)) { known.add(uid); lead(uid); }
        } else {
          line(left, `${file.name}: ${said.error}`);
        }
      } catch {
        line(left, `${file.name}: the console did not answer`);
      }
      done += 1;
    }
    now.textContent = `${accepted} ${accepted === 1 ? "instance was" : "instances were"} accepted by this node.`;
    button.disabled = false;
  });
  form.querySelector("button").disabled = false;  // from here on somebody listens to it
})();
