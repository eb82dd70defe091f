// What all charts share: a drawing that follows the width of its place, axes, legends.

/** A chart that is drawn again when its place gets another width. draw(svg, width) */
function chart(label, height, draw, attributes = {}) {
  const host = el('div', { class: 'chart' });
  let drawn = 0;
  const redraw = () => {
    const width = Math.floor(host.clientWidth);
    if (!width) return;
    drawn = width;
    const svg = d3.select(host).selectAll('svg').data([0]).join('svg')
      .attr('role', 'group').attr('aria-label', label)
      .attr('viewBox', `0 0 ${width} ${height}`).attr('width', width).attr('height', height);
    Object.entries(attributes).forEach(([name, value]) => svg.attr(name, value));
    svg.selectChildren().remove();
    draw(svg, width, height);
  };
  new ResizeObserver(() => {
    if (Math.floor(host.clientWidth) !== drawn) redraw();
  }).observe(host);
  host.redraw = redraw;
  return host;
}

/** Axis at the bottom with its name. */
function bottomAxis(svg, scale, { top, left, right, name, ticks = 5, format = null, values = null }) {
  const axis = d3.axisBottom(scale).ticks(ticks).tickSizeOuter(0).tickFormat(format);
  if (values) axis.tickValues(values);
  svg.append('g').attr('class', 'axis').attr('transform', `translate(0,${top})`).call(axis);
  svg.append('text').attr('class', 'axis-name').attr('x', (left + right) / 2).attr('y', top + 36)
    .attr('text-anchor', 'middle').text(name);
}

/** Axis at the left with lines across and its name above. */
function leftAxis(svg, scale, { left, right, name, ticks = 5, format = null, values = null }) {
  const axis = d3.axisLeft(scale).ticks(ticks).tickSize(left - right).tickFormat(format);
  if (values) axis.tickValues(values);
  svg.append('g').attr('class', 'axis lines').attr('transform', `translate(${left},0)`).call(axis);
  svg.append('text').attr('class', 'axis-name').attr('x', 2)
    .attr('y', scale.range()[1] - 10).text(name);
}

/** Move places apart until neighbours are at least a gap from each other; keeps their order. */
function spread(places, gap, lowest, highest) {
  const order = d3.sort(d3.range(places.length), (i) => places[i]);
  const moved = places.slice();
  for (let k = 1; k < order.length; k += 1) {
    moved[order[k]] = Math.max(moved[order[k]], moved[order[k - 1]] + gap);
  }
  const over = order.length ? moved[order.at(-1)] - highest : 0;
  if (over > 0) {
    moved[order.at(-1)] = highest;
    for (let k = order.length - 2; k >= 0; k -= 1) {
      moved[order[k]] = Math.min(moved[order[k]], moved[order[k + 1]] - gap);
    }
  }
  return moved.map((place) => Math.max(place, lowest));
}

/** Texts of an SVG: a mark in its colour, then words. */
function marked(texts, mark, colour, words) {
  texts.selectChildren().remove();
  texts.append('tspan').attr('class', 'mark-in').style('fill', colour).text((d) => `${mark(d)} `);
  texts.append('tspan').text(words);
}

function legend(keys) {
  return el('div', { class: 'legend' }, ...keys.map((key) => chip(key)));
}
