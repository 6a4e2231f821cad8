"use strict";
// The page is whole without this: it draws the figures anew with values under the pointer, and fills the reader.
{
  const describe = (figure) => {
    const plot = figure.querySelector(".plot"), still = plot.innerHTML;
    const alt = plot.querySelector("svg").getAttribute("aria-label");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    spec.width = "container";
    const options = {
      renderer: "svg", ast: true, mode: "vega-lite", tooltip: true,
      actions: { export: true, source: false, compiled: false, editor: false },
    };
    vegaEmbed(plot, spec, options).then(() => {
      const drawn = plot.querySelector("svg.marks");
      // One image with one text, not a hundred marks to read out.
      drawn.querySelectorAll("[role]").forEach((mark) => mark.removeAttribute("role"));
      drawn.setAttribute("role", "img");
      drawn.setAttribute("aria-label", alt);
      drawn.removeAttribute("aria-hidden");
      plot.querySelector("summary")?.setAttribute("aria-label", "Save this figure");
    }).catch(() => { plot.innerHTML = still; });
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      seen.unobserve(entry.target);
      describe(entry.target);
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll("figure").forEach((figure) => seen.observe(figure));

  const made = (name, text, parent) => {
    const element = document.createElement(name);
    element.textContent = text; // never markup: rows are what a model wrote
    parent?.append(element);
    return element;
  };
  const choice = (parent, label, options, chosen) => {
    const select = document.createElement("select");
    for (const [value, text] of options) {
      const option = made("option", text, select);
      option.value = value;
      option.selected = value === chosen;
    }
    made("label", `${label} `, parent).append(select);
    return select;
  };
  for (const reader of document.querySelectorAll(".reader")) {
    const { rows, sides } = JSON.parse(reader.querySelector("script").textContent);
    const cells = [...new Set(rows.map((row) => row.cell))].map((cell) => [cell, cell]);
    for (const side of sides) {
      const pane = made("div", "", reader);
      const cell = choice(pane, "Cell", cells, side);
      const reasons = [...new Set(rows.filter((row) => row.reason !== "kept").map((row) => row.reason))].sort();
      const verdict = choice(pane, "Rows", [["kept", "kept"], ["", "dropped, any reason"],
        ...reasons.map((reason) => [reason, `dropped: ${reason}`])], "kept");
      const another = made("button", "Another row", pane);
      another.type = "button";
      const card = made("article", "", pane);
      card.setAttribute("aria-live", "polite");
      let place = -1;
      const show = (step) => {
        const found = rows.filter((row) => row.cell === cell.value &&
          (verdict.value ? row.reason === verdict.value : row.reason !== "kept"));
        place = found.length ? (place + step) % found.length : -1;
        card.replaceChildren();
        another.disabled = found.length < 2;
        if (place < 0) return made("p", "No such row here.", card);
        const row = found[place];
        made("h4", row.title, card);
        made("p", `${place + 1} of ${found.length}; ${row.facts}`, card).className = "facts";
        for (const [name, text] of Object.entries(row.parts)) {
          made("h5", name, card);
          made("pre", text, card).dir = "auto";
        }
      };
      const again = () => { place = 0; show(0); };
      cell.addEventListener("change", again);
      verdict.addEventListener("change", again);
      another.addEventListener("click", () => show(1));
      again();
    }
    reader.hidden = false;
  }
}
