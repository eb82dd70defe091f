// Training curves, the data of `lt_det inspect`, notes, navigation, light and dark; the start.
function curveChart(title, series, { log = false, digits = 3 } = {}) {
  const points = series.flatMap((s) => s.points);
  const draw = (svg, width, height) => {
    const names = 30 + 7 * d3.max(series, (s) => s.name.length);
    const [left, right, top, bottom] = [52, width - (series.length > 1 ? names : 14), 26, height - 44];
    const x = d3.scaleLinear().domain(d3.extent(points, (p) => p[0])).range([left, right]);
    const [low, high] = d3.extent(points, (p) => p[1]);
    const decades = d3.range(-12, 9).map((e) => 10 ** e).filter((v) => v >= low && v <= high);
    const y = log && low > 0 && decades.length > 1 ? d3.scaleLog().domain([low, high * 1.0001]).range([bottom, top])
      : d3.scaleLinear().domain([Math.min(0, low), high || 1]).range([bottom, top]).nice();
    leftAxis(svg, y, {
      left, right, name: '', ticks: 4, values: y.base ? decades : null, format: d3.format('~g'),
    });
    bottomAxis(svg, x, {
      top: bottom, left, right, name: 'iteration', ticks: 4, format: d3.format('~s'),
    });
    const g = svg.append('g').selectAll('path').data(series).join('path')
      .attr('class', 'curve').style('stroke', (s) => s.colour)
      .attr('d', (s) => d3.line((p) => x(p[0]), (p) => y(p[1]))(s.points));
    g.filter((s) => s.points.length === 1).attr('stroke-linecap', 'round')
      .attr('d', (s) => `M${x(s.points[0][0])},${y(s.points[0][1])}h0`).style('stroke-width', 7);
    const places = spread(series.map((s) => y(s.points.at(-1)[1])), 14, top, bottom);
    if (series.length > 1) {
      svg.append('g').attr('class', 'curve-names').selectAll('text').data(series).join('text')
        .attr('x', right + 5).attr('y', (s, k) => places[k] + 4)
        .call(marked, (s) => s.mark, (s) => s.colour, (s) => s.name);
    }
    svg.append('rect').attr('class', 'cover').attr('x', left).attr('y', top)
      .attr('width', right - left).attr('height', bottom - top)
      .on('pointermove', (event) => {
        const at = x.invert(d3.pointer(event)[0]);
        const near = series.map((s) => [s, d3.least(s.points, (p) => Math.abs(p[0] - at))]);
        const format = (v) => (digits ? fraction(v, digits) : d3.format('.3~g')(v));
        showTip([`iteration ${count(near[0][1][0])}`,
          ...near.map(([s, p]) => `${s.name} ${format(p[1])}`)], event.clientX, event.clientY);
      }).on('pointerleave', hideTip);
  };
  const last = series.map((s) => `${s.name} ${d3.format('.4~g')(s.points.at(-1)[1])}`).join(', ');
  return el('div', { class: 'card' }, el('h3', {}, title),
    chart(`${title} by iteration; at the end ${last}`, 230, draw, { role: 'img' }));
}

/** Validation metrics by what comes before the last underscore, AP and its groups of each. */
function metricCharts(metrics) {
  const charts = new Map();
  for (const [full, points] of Object.entries(metrics)) {
    const cut = full.lastIndexOf('_');
    const [of, name] = [full.slice(0, Math.max(cut, 0)), full.slice(cut + 1)];
    const group = groupOfMetric(name);
    if (points.length) {
      if (!charts.has(of)) charts.set(of, []);
      charts.get(of).push({ name, points, main: group || /^(AP|top1|macro)$/.test(name), ...look(group) });
      charts.get(of).at(-1).name = name;
    }
  }
  return [...charts].map(([of, series]) => {
    const main = series.filter((s) => s.main);
    const words = AP_NAMES[of] ?? of.replaceAll('_', ' ');
    return curveChart(`validation ${words || 'accuracy'}`, main.length ? main : series);
  });
}

function curves() {
  const { loss, lr, metrics } = DATA.curves;
  const single = (name, points) => [{ name, points, colour: 'var(--text)', mark: '' }];
  const cards = [];
  if (loss?.length) cards.push(curveChart('loss', single('loss', loss)));
  if (lr?.length) cards.push(curveChart('learning rate', single('learning rate', lr), { log: true, digits: 0 }));
  cards.push(...metricCharts(metrics ?? {}));
  if (cards.length) section('curves', 'Training', el('div', { class: 'cards' }, ...cards));
}

// what `lt_det inspect` calls by shorter names
const TERMS = {
  imbalance_images: 'imbalance (images of the largest class per image of the rarest)',
  imbalance_instances: 'imbalance of instances',
  median_images: 'images of the median class',
  without_images: 'classes without images',
  with_masks: 'annotations with masks',
  bounds: 'images up to which a class is rare, common',
};

/** Any json as a list of terms. */
function terms(value) {
  const text = (v) => {
    if (Array.isArray(v) && v.some((item) => typeof item === 'string')) {
      return el('span', {}, ...v.map((item) => el('div', {}, text(item))));
    }
    if (Array.isArray(v)) return el('span', {}, ...v.flatMap((item, k) => [k ? ', ' : '', text(item)]));
    if (v && typeof v === 'object') return terms(v);
    return typeof v === 'number' ? number(v, (n) => n.toLocaleString('en-US', { maximumFractionDigits: 4 }))
      : nameOf(String(v));
  };
  return el('dl', {}, ...Object.entries(value).filter(([, v]) => isNumber(v)).flatMap(
    ([term, v]) => [el('dt', {}, TERMS[term] ?? term.replace(/^num_/, '').replaceAll('_', ' ')),
      el('dd', {}, text(v))],
  ));
}

function inspection() {
  const { files, classes, problems, recommendation } = DATA.inspect;
  const parts = [];
  const sizes = Object.entries(files ?? {}).map(([file, f]) => [nameOf(DATA.inspect[file] ?? file), f.protocol,
    number(f.num_images, count), number(f.num_annotations, count), number(f.num_classes, count)]);
  if (sizes.length) parts.push(smallTable('Files', ['', 'protocol', 'images', 'annotations', 'classes'], sizes));
  if (classes) {
    const { rarest, largest, ...rest } = classes;
    parts.push(el('h3', {}, 'Classes of the training file'), terms(rest));
    const rows = (list) => list.map((c) => [nameOf(c.name), number(c.images, count), number(c.instances, count)]);
    const head = ['', 'images', 'instances'];
    parts.push(el('div', { class: 'columns' },
      ...[['Rarest', rarest], ['Largest', largest]].filter(([, list]) => list?.length)
        .map(([title, list]) => smallTable(title, head, rows(list)))));
  }
  if (problems?.length) {
    const rows = problems.map((p) => [p.text, p.file, number(p.count, count), p.training?.text ?? NONE,
      p.evaluation?.text ?? NONE, p.lost ? '⚠ something is lost' : 'nothing is lost']);
    parts.push(smallTable('Problems', ['', 'file', 'number', 'training', 'evaluation', ''], rows, 'small words'));
  }
  if (recommendation) parts.push(el('h3', {}, 'To begin with'), terms(recommendation));
  section('inspect', 'Data', ...parts);
}

function notes() {
  section('notes', 'What is not here, and why',
    el('ul', {}, ...DATA.notes.map((note) => el('li', { dir: 'auto' }, note))));
}

const NAV = {
  headline: 'Numbers', frequency: 'Frequency', errors: 'Errors', scores: 'Scores', classes: 'Classes',
  gallery: 'Crops', curves: 'Training', calibration: 'Calibration', inspect: 'Data', notes: 'Notes',
};

function navigation() {
  const there = Object.entries(NAV).filter(([id]) => byId(id) && !byId(id).hidden);
  byId('nav').append(...there.map(([id, text]) => el('a', { href: `#${id}` }, text)));
}

const THEMES = ['as the system', 'light', 'dark'];
byId('theme').addEventListener('click', (event) => {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? THEMES[0]) + 1) % THEMES.length];
  root.dataset.theme = next;
  event.currentTarget.setAttribute('aria-label', `Colours: ${next}`);
  event.currentTarget.textContent = { light: '☀', dark: '☾' }[next] ?? '◐';
});

// paper shows what is folded away
let unfolded = [];
window.addEventListener('beforeprint', () => {
  unfolded = [...document.querySelectorAll('details:not([open])')];
  unfolded.forEach((details) => { details.open = true; });
});
window.addEventListener('afterprint', () => unfolded.forEach((details) => { details.open = false; }));

headline();
if (DATA.classes) scatter();
if (DATA.errors || DATA.flows) errors();
if (DATA.scores) scores();
if (DATA.classes) classTable();
if (DATA.gallery?.length) gallery();
if (DATA.curves) curves();
if (DATA.inspect) inspection();
if (DATA.notes?.length) notes();
navigation();
document.documentElement.dataset.ready = 'yes';
