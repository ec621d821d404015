"use strict";
// Pieces of pages that are fetched again: <div data-live="address" data-seconds="2">.

const fox = {
  csrf: () => document.querySelector('meta[name="csrf"]')?.content ?? "",

  // Puts a piece in place where it changed, and the keyboard's focus where it was.
  replace(place, text) {
    if (place.dataset.shown === text) return;
    const held = place.contains(document.activeElement) ? document.activeElement : null;
    const mark = held && (held.getAttribute("href") ?? held.dataset.action ?? held.getAttribute("aria-label"));
    place.dataset.shown = text;
    place.innerHTML = text; // made by the gateway's templates, which escape every value
    fox.local(place);
    if (mark === null || mark === undefined) return;
    for (const found of place.querySelectorAll("a, button, [tabindex]")) {
      if ([found.getAttribute("href"), found.dataset.action, found.getAttribute("aria-label")].includes(mark)) {
        found.focus({ preventScroll: true });
        return;
      }
    }
  },

  // Times as the clock on the wall says them.
  local(place) {
    for (const time of place.querySelectorAll("time[datetime]")) {
      time.textContent = new Date(time.dateTime).toLocaleString("fr-FR", { dateStyle: "short", timeStyle: "short" });
    }
  },

  async piece(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (answer.status === 401) location.reload();
    return answer.ok ? answer.text() : null;
  },
};

fox.local(document);
for (const place of document.querySelectorAll("[data-live]")) {
  const again = async () => {
    if (!document.hidden) {
      try {
        const text = await fox.piece(place.dataset.live);
        if (text !== null) fox.replace(place, text);
      } catch { /* the gateway is away: the next time */ }
    }
    setTimeout(again, 1000 * Number(place.dataset.seconds));
  };
  setTimeout(again, 1000 * Number(place.dataset.seconds));
}
