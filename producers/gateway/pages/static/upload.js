"use strict";
// The upload page: a file is checked at once, and imported when the person confirms.
// Whatever comes from a file is put on the page as text, never as markup.

async function forget(id, button) {
  button.disabled = true;
  try {
    const answer = await fetch(`/api/imports/mappings/${id}/`, { method: "DELETE", headers: { "X-CSRF-Token": fox.csrf() } });
    if (answer.ok || answer.status === 404) { document.getElementById(`mapping-${id}`)?.remove(); return true; }
    alert((await answer.json()).detail);
  } catch {
    alert("La passerelle ne répond pas : vérifiez le réseau, puis recommencez.");
  }
  button.disabled = false;
  return false;
}

for (const button of document.querySelectorAll("button[data-forget]")) {
  button.addEventListener("click", () => forget(button.dataset.forget, button));
}

const form = document.getElementById("upload");
if (form !== null) {
  const at = (name) => document.getElementById(name);
  const fields = JSON.parse(form.dataset.fields);
  const labels = JSON.parse(form.dataset.codes); // of codes
  const changed = {}; // field by column, where the person chose one
  let file = null;
  let checks = 0;
  let preview = null;

  const number = (value) => value.toLocaleString("fr-FR");
  const rows = (count) => `${number(count)} ligne${count > 1 ? "s" : ""}`;

  function make(tag, text, more = {}) {
    const made = document.createElement(tag);
    if (text !== null) made.textContent = text;
    for (const [name, value] of Object.entries(more)) made.setAttribute(name, value);
    return made;
  }

  function step(now) {
    for (const item of document.querySelectorAll("[data-step]")) {
      if (item.dataset.step === String(now)) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }

  function problem(text, link = null) {
    const place = at("problem");
    place.hidden = text === null;
    place.textContent = text ?? "";
    if (link !== null) place.append(" ", make("a", "Voir cet import", { href: link }));
  }

  function body(withType) {
    const data = new FormData();
    if (withType) data.set("import_type", at("import_type").value);
    for (const name of ["encoding", "delimiter", "policy"]) {
      if (at(name).value) data.set(name, at(name).value);
    }
    if (Object.keys(changed).length) data.set("columns", JSON.stringify(changed));
    data.set("file", file, file.name);
    return data;
  }

  async function send(address, data, headers = {}) {
    const answer = await fetch(address, {
      method: "POST",
      body: data,
      headers: { "X-CSRF-Token": fox.csrf(), ...headers },
    });
    const content = await answer.json();
    return { ok: answer.ok, content };
  }

  async function check(withType) {
    const mine = ++checks;
    problem(null);
    at("import").disabled = true;
    at("doing").textContent = `Vérification de ${file.name}…`;
    let found;
    try {
      found = await send("/api/imports/preview/", body(withType));
    } catch {
      found = { ok: false, content: { detail: "La passerelle ne répond pas : vérifiez le réseau, puis recommencez." } };
    }
    if (mine !== checks) return; // a later check runs
    at("doing").textContent = "";
    if (!found.ok) {
      preview = null;
      problem(found.content.detail);
      at("checked").hidden = !withType;
      return;
    }
    preview = found.content;
    show();
  }

  function show() {
    step(2);
    const first = at("checked").hidden;
    at("checked").hidden = false;
    at("import_type").value = preview.refusal?.code === "unknown-type" ? "" : preview.import_type;
    form.querySelector('[data-for="csv"]').hidden = preview.format === "xlsx";
    showSummary();
    showReadAs();
    showCost();
    showMapping();
    showRemembered();
    showExamples();
    showFirstRows();
    if (first) at("checked").focus({ preventScroll: true });
  }

  function showSummary() {
    const place = at("verdict");
    place.replaceChildren();
    const say = (kind, text) => place.append(make("p", text, { class: `notice ${kind}` }));
    const can = preview.refusal === null && preview.valid_rows > 0;
    if (preview.refusal !== null) say("bad", preview.refusal.message);
    else if (preview.rejected_rows === 0) say("good", `${rows(preview.valid_rows)} à importer${preview.unknown_columns.length ? "" : ", aucune erreur"}.`);
    else say(can ? "fair" : "bad", `${rows(preview.valid_rows)} à importer, ${number(preview.rejected_rows)} en erreur qui ne le seront pas. Vous pourrez les télécharger, les corriger et les envoyer ensuite.`);
    if (preview.refusal === null) showLosses(say);
    for (const part of preview.left_out ?? []) say("fair", `« ${part.name} » : ${rows(part.rows)} non lue${part.rows > 1 ? "s" : ""}. ${part.message}`);
    if (preview.other_sheets?.length) say("fair", `Feuilles ou fichiers d'un autre contenu, non lus : ${preview.other_sheets.join(", ")}.`);
    if (preview.encoding_hint) say("fair", `L'encodage ressemble à ${preview.encoding_hint} : si les accents sont faux, choisissez cet encodage.`);
    if (preview.dropped_rows) say("fair", `${rows(preview.dropped_rows)} dont une valeur n'est pas valide et ne sera pas enregistrée ; le reste le sera.`);
    if (preview.duplicate_rows) say("fair", `${rows(preview.duplicate_rows)} en double : la dernière valeur l'emporte.`);
    const known = preview.already_imported;
    at("again").hidden = known === null;
    if (known !== null) {
      const notice = make("p", `Ce fichier a déjà été importé (${known.status}). `, { class: "notice fair" });
      notice.append(make("a", "Voir cet import", { href: `/imports/${known.id}` }));
      place.append(notice);
    }
    ready(can);
  }

  function showLosses(say) {
    const lost = preview.unknown_columns.length;
    const all = lost + Object.keys(preview.mapping).length;
    if (lost) say("fair", `${lost} colonne${lost > 1 ? "s" : ""} sur ${all} ne ser${lost > 1 ? "ont" : "a"} pas importée${lost > 1 ? "s" : ""} : ${preview.unknown_columns.join(", ")}.`);
    const cells = cleared();
    if (!cells) return;
    const fields = Object.entries(preview.blank_cells).map(([name, count]) => `${name} : ${number(count)}`);
    say("fair", `${number(cells)} cellule${cells > 1 ? "s" : ""} sans valeur : ce que la base contient à leur place sera effacé (${fields.join(", ")}).`);
  }

  function cleared() {
    if (at("policy").value !== "overwrite") return 0;
    return Object.values(preview.blank_cells).reduce((sum, count) => sum + count, 0);
  }

  function showConfirmation() {
    const cells = cleared();
    at("overwrite").hidden = !cells;
    if (String(cells) !== at("overwrite").dataset.cells) at("confirm_overwrite").checked = false; // it was of another count
    at("overwrite").dataset.cells = cells;
    at("cleared").textContent = `Effacer ce que la base contient à la place de ${number(cells)} cellule${cells > 1 ? "s" : ""} sans valeur`;
  }

  function ready(can) {
    showConfirmation();
    const known = preview.already_imported !== null && !at("force").checked;
    const unconfirmed = cleared() > 0 && !at("confirm_overwrite").checked;
    at("import").disabled = !can || known || unconfirmed;
    at("import").textContent = can ? `Importer ${rows(preview.valid_rows)}` : "Importer";
    at("why-not").textContent = !can
      ? "Corrigez d'abord ce qui est dit en rouge."
      : known ? "Cochez « Importer à nouveau » pour recommencer."
      : unconfirmed ? "Cochez la case qui confirme ce qui sera effacé." : "";
  }

  function showReadAs() {
    const names = { ";": "point-virgule", ",": "virgule", "\t": "tabulation", "|": "barre" };
    const parts = [];
    if (preview.format) parts.push(preview.format === "xlsx" ? "classeur Excel" : "fichier CSV");
    if (preview.sheet) parts.push(`feuille ${preview.sheet}`);
    if (preview.encoding) parts.push(`encodage ${preview.encoding}`);
    if (preview.delimiter) parts.push(`séparateur ${names[preview.delimiter] ?? preview.delimiter}`);
    if (preview.header_line) parts.push(`en-tête à la ligne ${preview.header_line}`);
    if (preview.blank_lines) parts.push(`${rows(preview.blank_lines)} vide${preview.blank_lines > 1 ? "s" : ""}`);
    if (preview.skipped_rows) {
      const what = preview.import_type === "ENTREPRISE" ? "établissements secondaires" : "niveaux de la nomenclature";
      parts.push(`${preview.skipped_rows.toLocaleString("fr")} ${what} ignorés`);
    }
    at("read-as").textContent = parts.length ? `Reconnu : ${parts.join(", ")}.` : "";
  }

  function showCost() {
    const cost = preview.ai_estimate;
    at("texts").hidden = cost === null;
    if (cost === null) { at("generate_ai_content").checked = false; return; }
    const money = (value) => `${value.toLocaleString("fr-FR", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} $`;
    const price = cost.cost === null
      ? "le prix de ce modèle n'est pas connu ici"
      : `${cost.cost > 0 && cost.cost < 0.01 ? "moins de 0,01 $" : `environ ${money(cost.cost)}`} (prix du ${new Date(cost.priced_on).toLocaleDateString("fr-FR")})`;
    at("cost").textContent = `Au plus ${number(cost.texts)} texte${cost.texts > 1 ? "s" : ""} avec ${cost.model} : ${price}. ${wait(cost.minutes)} Rien n'est dépensé si la case n'est pas cochée.`;
  }

  function wait(minutes) {
    if (minutes === null) return "La durée n'est pas connue pour l'instant.";
    const many = minutes < 120 ? `${number(minutes)} minute${minutes > 1 ? "s" : ""}`
      : minutes < 2880 ? `${number(Math.round(minutes / 60))} heures`
      : `${number(Math.round(minutes / 1440))} jours`;
    return `Au rythme permis, tout est écrit en ${many} environ ; ce qui ne l'est pas dans le temps prévu est remis à plus tard.`;
  }

  function owner(account) {
    return account ?? "la ligne de commande";
  }

  function showRemembered() {
    const place = at("remembered");
    place.replaceChildren();
    const found = preview.remembered;
    if (found === null) return;
    const notice = make("p", `Colonnes comme retenues de ${owner(found.account)}, le ${new Date(found.at).toLocaleDateString("fr-FR")}. `, { class: "notice fair" });
    const button = make("button", "Oublier ce choix", { type: "button" });
    button.addEventListener("click", async () => { if (await forget(found.id, button)) check(true); });
    notice.append(button);
    place.append(notice);
  }

  function showMapping() {
    const place = at("mapping");
    place.replaceChildren();
    const columns = [...Object.keys(preview.mapping), ...preview.unknown_columns];
    if (!columns.length) place.append(make("p", "Aucune colonne n'a été reconnue.", { class: "hint" }));
    columns.forEach((column, index) => {
      const line = make("div", null);
      const chosen = preview.mapping[column] ?? "";
      const select = make("select", null, { id: `column-${index}` });
      select.append(make("option", "(ne pas importer)", { value: "" }));
      for (const [name, required] of fields[preview.import_type]) {
        const option = make("option", required ? `${name} (obligatoire)` : name, { value: name });
        option.selected = name === chosen;
        select.append(option);
      }
      select.addEventListener("change", () => {
        if (preview.remembered !== null) keepColumns(() => true);
        changed[column] = select.value; // "": the column is left out
        check(true);
      });
      const text = preview.confidence[column] < 0.8 ? `${column} (reconnue à son contenu)` : column;
      line.append(make("label", text || "(sans nom)", { for: select.id }), select);
      place.append(line);
    });
  }

  // As they are shown, where the person chooses the others or confirms what was guessed.
  function keepColumns(which) {
    for (const [column, field] of Object.entries(preview.mapping)) if (which(column)) changed[column] ??= field;
    for (const column of preview.unknown_columns) if (which(column)) changed[column] ??= "";
  }

  function table(names, lines) {
    const made = make("table", null, { class: "list" });
    const head = made.createTHead().insertRow();
    for (const name of names) head.append(make("th", name, { scope: "col" }));
    const inside = made.createTBody();
    for (const line of lines) {
      const row = inside.insertRow();
      line.forEach((cell, index) => row.append(make("td", cell, { "data-label": names[index] })));
    }
    return made;
  }

  function showExamples() {
    const place = at("examples");
    place.replaceChildren();
    const found = [...preview.examples, ...preview.dropped];
    at("faults-card").hidden = !found.length;
    if (!found.length) return;
    const codes = Object.entries(preview.errors_by_code).map(([code, count]) => `${labels[code] ?? code} : ${number(count)}`);
    place.append(make("p", codes.join(" · "), { class: "hint" }));
    place.append(table(
      ["Ligne", "Colonne", "Valeur", "Ce qui ne va pas"],
      found.map((each) => [each.line, each.column ?? "–", each.value ?? "", each.message]),
    ));
  }

  function showFirstRows() {
    const place = at("preview");
    place.replaceChildren();
    const used = fields[preview.import_type].map(([name]) => name)
      .filter((name) => preview.preview.some((row) => row[name] !== null && row[name] !== undefined));
    if (!used.length) { place.append(make("p", "Aucune ligne valide.", { class: "hint" })); return; }
    place.append(table(used, preview.preview.map((row) => used.map((name) => row[name] ?? ""))));
  }

  function choose(chosen) {
    if (!chosen) return;
    file = chosen;
    preview = null;
    for (const column of Object.keys(changed)) delete changed[column];
    at("encoding").value = "";
    at("delimiter").value = "";
    at("force").checked = false;
    at("confirm_overwrite").checked = false;
    at("checked").hidden = true;
    step(1);
    if (file.size > Number(form.dataset.maxBytes)) {
      problem(`${file.name} dépasse ${Math.round(form.dataset.maxBytes / 1048576)} Mio : découpez-le, ou confiez-le à l'exploitation (foxstream import).`);
      return;
    }
    check(false);
  }

  at("file").addEventListener("change", () => choose(at("file").files[0]));
  const drop = at("drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });
  at("import_type").addEventListener("change", () => {
    for (const column of Object.keys(changed)) delete changed[column];
    check(true);
  });
  for (const name of ["encoding", "delimiter"]) at(name).addEventListener("change", () => check(true));
  at("policy").addEventListener("change", () => { if (preview !== null) showSummary(); });
  for (const name of ["force", "confirm_overwrite"]) {
    at(name).addEventListener("change", () => ready(preview !== null && preview.refusal === null && preview.valid_rows > 0));
  }

  let key = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (preview === null || at("import").disabled) return;
    step(3);
    at("import").disabled = true;
    at("doing").textContent = "Envoi…";
    if (preview.remembered === null) keepColumns((column) => preview.confidence[column] < 0.9);
    const data = body(true);
    if (at("confirm_overwrite").checked) data.set("confirm_overwrite", "true");
    if (at("generate_ai_content").checked) data.set("generate_ai_content", "true");
    if (at("force").checked) data.set("force", "true");
    key ??= crypto.getRandomValues(new Uint32Array(4)).join("-");
    try {
      const { ok, content } = await send("/api/imports/upload/", data, { "Idempotency-Key": key });
      if (ok) { location.assign(`/imports/${content.id}`); return; }
      key = null;
      problem(content.detail, content.import_id ? `/imports/${content.import_id}` : null);
      if (content.import_id) at("again").hidden = false;
    } catch {
      problem("La passerelle ne répond pas : recommencez, le fichier ne sera pas importé deux fois.");
    }
    at("doing").textContent = "";
    at("import").disabled = false;
  });
}
