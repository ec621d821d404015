"use strict";
// One import: its stream of events triggers a fetch of what changes.

const moving = document.getElementById("moving");
const errors = document.getElementById("errors");
const spoken = document.getElementById("spoken");
const id = moving.dataset.import;
const NOTHING = "0 0";
let shown = NOTHING;
let busy = false;
let again = false;

const state = () => document.getElementById("state").dataset;

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const text = await fox.piece(`/imports/${id}?fragment=true`);
    if (text !== null) fox.replace(moving, text);
    if (spoken.textContent !== state().spoken) spoken.textContent = state().spoken;
    await showErrors();
  } catch { /* the gateway is away: the stream comes back with it */ }
  busy = false;
  if (again) { again = false; setTimeout(refresh, 300); }
}

async function showErrors() {
  const now = state();
  // While it runs the first errors are enough; all are counted at the end.
  const counts = `${now.rejected} ${now.dropped}`;
  if (counts === shown) return;
  if (now.ended === "no" && shown !== NOTHING) return;
  const text = await fox.piece(errors.dataset.address);
  if (text === null) return;
  shown = counts;
  fox.replace(errors, text);
}

function follow() {
  if (state().ended === "yes") { watch(); return; }
  const stream = new EventSource(`/api/imports/${id}/events`);
  stream.addEventListener("state", refresh);
  stream.addEventListener("end", () => { stream.close(); refresh().then(watch); });
}

// After the end texts are written, and corrections resolve lines; a requested action takes a moment.
let watching = null;
let until = 0;

function watch() {
  clearTimeout(watching);
  const soon = state().writing === "yes" || Date.now() < until;
  watching = setTimeout(async () => {
    if (!document.hidden) await refresh();
    watch();
  }, soon ? 2000 : 5000);
}

async function act(button) {
  try {
    const answer = await fetch(`/api/imports/${id}/${button.dataset.action}/`, {
      method: "POST",
      headers: { "X-CSRF-Token": fox.csrf() },
    });
    const content = await answer.json();
    return { ok: answer.ok, content };
  } catch {
    return { ok: false, content: { detail: "La passerelle ne répond pas : vérifiez le réseau, puis recommencez." } };
  }
}

moving.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-action]");
  if (button === null) return;
  if (button.dataset.ask && !confirm(button.dataset.ask)) return;
  button.disabled = true;
  const { ok, content } = await act(button);
  spoken.textContent = ok ? content.message : content.detail;
  if (!ok) {
    button.disabled = false;
    alert(content.detail);
  } else if (content.id !== id) {
    location.assign(`/imports/${content.id}`);
  } else {
    until = Date.now() + 20000;
    refresh().then(watch);
  }
});

showErrors();
follow();
