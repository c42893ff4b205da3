"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 20, LONG = 56, MOST_CHOICES = 30, FEWEST_FOR_TOOLS = 8;
  const COLOURS = ["--two", "--one", "--three", "--four", "--five", "--six"];
  const SVG = "http://www.w3.org/2000/svg";
  const tip = document.getElementById("tip"), dialog = document.getElementById("row");

  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const draw = (tag, attributes, ...children) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const reader = (column) => {
    if ("same" in column) return () => column.same;
    if ("words" in column) return (i) => column.words[column.values[i]];
    return (i) => column.values[i];
  };
  const isKnown = (value) => value !== null && value !== undefined && value !== "";
  const said = (value) => {
    if (!isKnown(value)) return "\u2013";
    if (value === true) return "yes";
    if (value === false) return "no";
    if (typeof value !== "number") return String(value);
    if (Math.abs(value) > 1e308) return value > 0 ? "infinite" : "-infinite";
    if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
    return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
  };

  // Values on hover, by mouse, touch and arrow keys, of one drawing.
  const hoverable = (svg, marks, words) => {
    const box = svg.viewBox.baseVal;
    const ring = draw("g", { class: "ring" });
    svg.append(ring);
    svg.setAttribute("tabindex", "0");
    let at = -1;
    const show = (index) => {
      at = index;
      const [x, y, width, height, lines] = marks[index];
      ring.replaceChildren(width
        ? draw("rect", { x, y, width, height })
        : draw("circle", { cx: x, cy: y, r: 4 }));
      const rect = svg.getBoundingClientRect(), scale = rect.width / box.width;
      const inside = svg.closest("dialog");
      (inside || document.body).append(tip);
      tip.textContent = words(lines);
      tip.hidden = false;
      const left = rect.left + (x + width / 2) * scale, top = rect.top + y * scale;
      const room = tip.getBoundingClientRect();
      const across = Math.max(4, Math.min(left - room.width / 2, document.documentElement.clientWidth - room.width - 4));
      const above = top - room.height - 10 > 0 ? top - room.height - 10 : top + (height * scale) + 12;
      tip.style.left = `${across + (inside ? 0 : window.scrollX)}px`;
      tip.style.top = `${above + (inside ? 0 : window.scrollY)}px`;
    };
    const hide = () => { tip.hidden = true; ring.replaceChildren(); at = -1; };
    const near = (event) => {
      const rect = svg.getBoundingClientRect(), scale = rect.width / box.width;
      const x = (event.clientX - rect.left) / scale, y = (event.clientY - rect.top) / scale;
      let best = -1, least = (14 / scale) ** 2;
      marks.forEach(([left, top, width, height], i) => {
        const inX = width && x >= left && x <= left + width, inY = width && y >= top && y <= top + height;
        const away = width
          ? (inX && inY ? 1e-6 * width * height : inX && height < 6 ? Math.min((y - top) ** 2, (y - top - height) ** 2) : Infinity)
          : (x - left) ** 2 + (y - top) ** 2;
        if (away < least) { least = away; best = i; }
      });
      if (best < 0) hide(); else if (best !== at || tip.hidden) show(best);
    };
    svg.addEventListener("pointermove", near);
    svg.addEventListener("pointerdown", near);
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step && marks.length) { event.preventDefault(); show((at + step + marks.length) % marks.length); }
      if (event.key === "Home" && marks.length) { event.preventDefault(); show(0); }
      if (event.key === "End" && marks.length) { event.preventDefault(); show(marks.length - 1); }
      if (event.key === "Escape" && !tip.hidden) { event.preventDefault(); event.stopPropagation(); hide(); }
    });
  };

  for (const [id, figure] of Object.entries(data.figures)) {
    const svg = document.getElementById(id).querySelector("svg.drawn");
    hoverable(svg, figure.marks, (lines) => lines.map((i) => figure.lines[i]).join("\n"));
  }

  // One small chart of a learning curve.
  const ticks = (low, high) => {
    const raw = (high - low) / 4 || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw);
    const found = [];
    for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step) found.push(Number(t.toPrecision(10)));
    return found;
  };
  const chart = (label, names, x, lines, xLabel) => {
    const width = 320, height = 190, left = 46, right = 18, top = 8, bottom = 34;
    const values = lines.flat().filter((v) => isKnown(v) && Math.abs(v) < 1e308);
    let low = Math.min(...values), high = Math.max(...values);
    if (["error", "bits a label of the block"].includes(label)) { low = Math.min(0, low); high = Math.max(1, high); }
    if (low === high) { low -= 0.5; high += 0.5; }
    const first = x[0], last = x[x.length - 1] === first ? first + 1 : x[x.length - 1];
    const across = (v) => left + (v - first) / (last - first) * (width - left - right);
    const up = (v) => height - bottom - (v - low) / (high - low) * (height - top - bottom);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${label} by ${xLabel}: ${names.join(", ")}` });
    for (const t of ticks(low, high)) {
      svg.append(draw("line", { x1: left, x2: width - right, y1: up(t), y2: up(t), stroke: "var(--line)", "stroke-width": 0.7 }),
        draw("text", { x: left - 4, y: up(t) + 4, "text-anchor": "end" }, said(t)));
    }
    for (const t of ticks(first, last)) svg.append(draw("text", { x: across(t), y: height - bottom + 14, "text-anchor": "middle" }, said(t)));
    svg.append(draw("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, xLabel));
    const marks = [], keys = make("ul", { className: "keys" });
    names.forEach((name, k) => {
      const points = x.map((at, i) => [at, lines[k][i]]).filter(([, y]) => isKnown(y) && Math.abs(y) < 1e308);
      if (!points.length) return;
      const colour = `var(${COLOURS[k % COLOURS.length]})`;
      svg.append(draw("polyline", { points: points.map(([a, b]) => `${across(a).toFixed(1)},${up(b).toFixed(1)}`).join(" "), fill: "none", stroke: colour, "stroke-width": 1.8 }));
      for (const [a, b] of points) {
        svg.append(draw("circle", { cx: across(a), cy: up(b), r: 1.9, fill: colour }));
        marks.push([across(a), up(b), 0, 0, `${name}\n${xLabel}: ${said(a)}\n${label}: ${said(b)}`]);
      }
      const swatch = make("i"); swatch.style.borderColor = colour;
      keys.append(make("li", {}, swatch, name.replace(/_/g, " ")));
    });
    hoverable(svg, marks, (text) => text);
    return make("figure", { className: "chart" }, make("figcaption", { textContent: label }), svg, keys);
  };

  // Everything about one row.
  let walk = null;
  const openRow = (sheet, order, place) => {
    const index = order[place];
    walk = (step) => { if (order[place + step] !== undefined) openRow(sheet, order, place + step); };
    const title = sheet.shown.slice(0, 4).map((c) => said(c.of(index))).join(" \u00b7 ");
    document.getElementById("row-title").textContent = title;
    const inside = dialog.querySelector(".inside");
    inside.replaceChildren();
    if (sheet.curves) {
      const id = sheet.id_of(index), found = sheet.curves.lines[id];
      inside.append(make("h3", { textContent: sheet.id === "probes" ? "Loss-data curve" : "Learning curve" }));
      if (found && found[0].length) {
        const grid = make("div", { className: "charts" });
        let k = 0;
        for (const [label, names] of sheet.curves.panels) {
          const lines = found[1].slice(k, k += names.length);
          if (lines.some((line) => line.some(isKnown))) grid.append(chart(label, names, found[0], lines, sheet.curves.x));
        }
        inside.append(grid);
      }
      const note = found ? sheet.curves.note.replace(sheet.missing, "") : sheet.curves.note;
      if (note.trim()) inside.append(make("p", { className: "note", textContent: note }));
      inside.append(make("h3", { textContent: "Settings and results" }));
    }
    const list = make("dl", { className: "known" });
    for (const column of sheet.columns) {
      const value = column.of(index);
      if (column.name === "id" || (!isKnown(value) && sheet.curves)) continue;
      const told = make("dd", { textContent: typeof value === "number" && Math.abs(value) < 1e308 ? String(value) : said(value) });
      const fact = make("div", {}, make("dt", { textContent: column.name }), told);
      if (column.doc) fact.append(make("small", { textContent: column.doc }));
      list.append(fact);
    }
    inside.append(list);
    dialog.querySelector(".previous").disabled = place === 0;
    dialog.querySelector(".next").disabled = place === order.length - 1;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.querySelector(".previous").addEventListener("click", () => walk(-1));
  dialog.querySelector(".next").addEventListener("click", () => walk(1));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { tip.hidden = true; document.body.append(tip); });

  const compare = (column, down) => (a, b) => {
    const one = column.of(a), two = column.of(b);
    const knows = isKnown(one) - isKnown(two);
    if (knows || !isKnown(one)) return -knows || a - b; // what is not known stays last
    const order = typeof one === "string" || typeof two === "string"
      ? String(one).localeCompare(String(two), "en", { numeric: true }) : one - two;
    return (down ? -order : order) || a - b;
  };
  const test = (sheet, word) => {
    const found = /^(.+?)(<=|>=|<|>|=|:)(.*)$/.exec(word);
    const column = found && sheet.columns.find((c) => c.name.toLowerCase().replace(/ /g, "_") === found[1].toLowerCase());
    if (column) {
      const [, , sign, text] = found, wanted = Number(text);
      if (sign === ":") return (i) => said(column.of(i)).toLowerCase().includes(text);
      const is = (v) => v === wanted || Number(said(v)) === wanted; // as it is, or as the table shows it
      if (sign === "=") return (i) => { const v = column.of(i); return typeof v === "number" ? is(v) : said(v).toLowerCase() === text; };
      const holds = { "<": (v) => v < wanted, ">": (v) => v > wanted, "<=": (v) => v < wanted || is(v), ">=": (v) => v > wanted || is(v) }[sign];
      return (i) => typeof column.of(i) === "number" && holds(column.of(i));
    }
    return (i) => sheet.shown.some((c) => said(c.of(i)).toLowerCase().includes(word))
      || (sheet.ids && sheet.id_of(i).toLowerCase().startsWith(word));
  };

  const table = (host, sheet) => {
    sheet.columns.forEach((column) => { column.of = reader(column); });
    sheet.shown = sheet.shown.map((name) => sheet.columns.find((c) => c.name === name));
    const named = sheet.columns.find((c) => c.name === sheet.ids);
    sheet.id_of = named ? (i) => String(named.of(i)) : () => "";
    sheet.missing = sheet.curves ? sheet.curves.note.replace(/^\d+ of up to .*? drawn\. ?/, "") : "";
    const all = Array.from({ length: sheet.rows }, (_, i) => i);
    let order = all, sorted = null, down = false, page = 0;

    const search = make("input", { type: "search", placeholder: "words, or column>number", autocomplete: "off" });
    const count = make("span", { className: "count" });
    count.setAttribute("role", "status");
    const choices = sheet.shown.filter((c) => c.kind !== "number").map((column) => {
      const values = [...new Set(all.map((i) => said(column.of(i))))];
      if (values.length < 2 || values.length > MOST_CHOICES) return null;
      const select = make("select", {}, make("option", { value: "", textContent: "all" }),
        ...values.sort().map((value) => make("option", { value, textContent: value })));
      return { column, select };
    }).filter(Boolean).slice(0, 6);
    const tools = make("div", { className: "tools" }, make("label", {}, "Filter", search),
      ...choices.map(({ column, select }) => make("label", {}, column.name, select)), count);

    const heads = sheet.shown.map((column) => {
      const button = make("button", { type: "button", textContent: column.name, title: column.doc });
      const head = make("th", { scope: "col", className: column.kind === "number" ? "number" : "" }, button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        down = sorted === column ? !down : false;
        sorted = column;
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        page = 0; arrange();
      });
      return head;
    });
    const body = make("tbody");
    const grid = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
    grid.setAttribute("aria-label", sheet.title);
    const wide = make("div", { className: "wide", tabIndex: 0 }, grid);
    wide.setAttribute("role", "region");
    wide.setAttribute("aria-label", `${sheet.title}, scrolls sideways`);
    const previous = make("button", { type: "button", textContent: "Previous" }), next = make("button", { type: "button", textContent: "Next" });
    const where = make("span"), pages = make("div", { className: "pages" }, previous, where, next);
    previous.addEventListener("click", () => { page -= 1; render(); });
    next.addEventListener("click", () => { page += 1; render(); });

    const render = () => {
      const from = page * PAGE, here = order.slice(from, from + PAGE);
      body.replaceChildren(...here.map((i, k) => {
        const cells = sheet.shown.map((column, c) => {
          const value = column.of(i), text = said(value);
          const cell = make("td", { className: column.kind === "number" ? "number" : value === "failed" ? "failed" : "" });
          const short = text.length > LONG ? `${text.slice(0, LONG - 1)}\u2026` : text;
          if (c === 0) {
            const button = make("button", { type: "button", textContent: short });
            button.addEventListener("click", () => openRow(sheet, order, from + k));
            cell.append(button);
          } else cell.textContent = short;
          if (short !== text) cell.title = text;
          return cell;
        });
        const row = make("tr", {}, ...cells);
        if (sheet.columns[0].name === "test" && sheet.columns[0].of(i) === "primary") row.className = "primary";
        return row;
      }));
      const last = Math.max(1, Math.ceil(order.length / PAGE));
      pages.hidden = last === 1;
      previous.disabled = page === 0; next.disabled = page === last - 1;
      where.textContent = `page ${page + 1} of ${last}`;
      count.textContent = order.length === sheet.rows ? `${sheet.rows} rows` : `${order.length} of ${sheet.rows} rows`;
    };
    const arrange = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean).map((word) => test(sheet, word));
      const chosen = choices.filter(({ select }) => select.value);
      order = all.filter((i) => words.every((holds) => holds(i)) && chosen.every(({ column, select }) => said(column.of(i)) === select.value));
      if (sorted) order.sort(compare(sorted, down));
      render();
    };
    const again = () => { page = 0; arrange(); };
    search.addEventListener("input", again);
    choices.forEach(({ select }) => select.addEventListener("change", again));
    if (sheet.rows >= FEWEST_FOR_TOOLS) host.append(tools);
    host.append(wide, pages);
    arrange();
  };

  for (const sheet of data.sheets) {
    const host = document.getElementById(`sheet-${sheet.id}`), around = host.closest("details");
    sheet.title = host.dataset.title;
    let done = false;
    const once = () => { if (!done) { done = true; table(host, sheet); } };
    if (around && !around.open) around.addEventListener("toggle", once); else once();
  }
  const follow = () => {
    const around = document.getElementById(location.hash.slice(1))?.querySelector("details");
    if (around) around.open = true;
  };
  window.addEventListener("hashchange", follow);
  follow();
  window.addEventListener("beforeprint", () => document.querySelectorAll("details.prints").forEach((part) => { part.open = true; }));
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
