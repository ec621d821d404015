"use strict";
// Other texts are requested once the person confirms, above all where edited ones are replaced.

const form = document.getElementById("texts");
if (form !== null) {
  const at = (name) => document.getElementById(name);

  function problem(text) {
    at("problem").hidden = text === null;
    at("problem").textContent = text ?? "";
  }

  function question(count, overwrite) {
    const texts = `Faire réécrire les textes de ${count} fiche${count > 1 ? "s" : ""} ?`;
    return overwrite ? `${texts} Ceux que quelqu'un a modifiés à la main seront remplacés eux aussi.` : texts;
  }

  async function request(asked) {
    try {
      const answer = await fetch("/api/imports/texts/regenerate/", {
        method: "POST",
        body: JSON.stringify(asked),
        headers: { "Content-Type": "application/json", "X-CSRF-Token": fox.csrf() },
      });
      return { ok: answer.ok, content: await answer.json() };
    } catch {
      return { ok: false, content: { detail: "La passerelle ne répond pas : vérifiez le réseau, puis recommencez." } };
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem(null);
    at("done").textContent = "";
    const rows = [...new Set(at("rows").value.split(/\s+/).filter(Boolean))];
    const overwrite = at("overwrite").checked;
    if (rows.length > Number(form.dataset.most)) {
      problem(`${rows.length} fiches : ${form.dataset.most} au plus à la fois.`);
      return;
    }
    if (!rows.length || !confirm(question(rows.length, overwrite))) return;
    const button = form.querySelector("button");
    button.disabled = true;
    const { ok, content } = await request({ kind: at("kind").value, rows, overwrite });
    button.disabled = false;
    if (ok) {
      at("done").textContent = content.message;
      form.reset();
    } else {
      problem(content.detail);
    }
  });
}
