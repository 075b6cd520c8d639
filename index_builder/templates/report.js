"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const titles = { recall: ["depth k", "targets among the first k, %"], latency: ["milliseconds at the median", "top-5, %"] };
  const ticks = { recall: [1, 2, 5, 10, 20, 40, 100] };

  function layout(id) {
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { gridcolor: color("--line"), linecolor: color("--line"), zeroline: false };
    const [x, y] = titles[id];
    return {
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      font: { color: color("--text"), family: "system-ui, sans-serif", size: 13 },
      hoverlabel: { bgcolor: color("--raised"), font: { color: color("--text") }, namelength: -1 },
      margin: { l: 60, r: 20, t: 20, b: 50 },
      legend: { orientation: "h", y: 1.08 },
      hovermode: id === "recall" ? "x unified" : "closest",
      xaxis: { ...axis, title: { text: x }, type: "log", ...(ticks[id] && { tickvals: ticks[id] }) },
      yaxis: { ...axis, title: { text: y }, rangemode: id === "recall" ? "tozero" : "normal" },
    };
  }

  function draw() {
    for (const [id, traces] of Object.entries(charts)) {
      Plotly.react(id, traces, layout(id), { responsive: true, displayModeBar: false });
    }
  }
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  const form = document.getElementById("filters");
  if (!form) return;
  const misses = [...document.querySelectorAll(".miss")].map((element) => ({
    element,
    rank: Number(element.dataset.rank) || Infinity,
    text: element.textContent.toLowerCase(),
  }));
  function filter() {
    const wanted = Object.fromEntries(new FormData(form));
    const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const miss of misses) {
      const fits = ["method", "record_type", "scope"].every((key) => !wanted[key] || miss.element.dataset[key] === wanted[key]);
      miss.element.hidden = !(fits && miss.rank > Number(wanted.rank) && words.every((word) => miss.text.includes(word)));
      count += !miss.element.hidden;
    }
    document.getElementById("count").textContent = `${count} of ${misses.length} shown`;
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("open").addEventListener("click", () => {
    const shown = misses.filter((miss) => !miss.element.hidden);
    const open = shown.some((miss) => !miss.element.open);
    for (const miss of shown) miss.element.open = open;
  });
  filter();
})();
