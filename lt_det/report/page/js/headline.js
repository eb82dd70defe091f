// Tiles and provenance.
const METRICS = {
  AP: 'all classes', APr: 'rare classes', APc: 'common classes', APf: 'frequent classes',
  AP50: 'at IoU 0.5', AP75: 'at IoU 0.75', top1: 'all images', top5: 'among the best five', macro: 'mean of classes',
  few: 'few-shot classes', medium: 'medium-shot classes',
  many: 'many-shot classes',
};
const ROWS = { bbox: 'Boxes', segm: 'Masks', null: '' };

/** The group a metric is of, from its name. */
const groupOfMetric = (metric) => ORDER.find((key) => metric === key || metric === `AP${key}`);

/** What was evaluated, below the title. */
function subtitle() {
  const { data, against } = DATA.provenance;
  const parts = [CLASSIFIER ? 'Classifier' : 'Detector'];
  if (isNumber(data?.images)) parts.push(` on ${count(data.images)} images`);
  if (DATA.classes) parts.push(` of ${count(DATA.classes.name.length)} classes`);
  if (against) parts.push(', compared with ', nameOf(against));
  return el('p', { class: 'subtitle' }, ...parts);
}

function tile(t) {
  const group = groupOfMetric(t.metric);
  const parts = [
    el('div', { class: 'metric' }, group ? chip(group, t.metric) : t.metric),
    el('div', { class: 'value' }, number(t.value)),
  ];
  if (t.interval) {
    parts.push(el('div', { class: 'small' }, number(t.interval[0]), ' to ', number(t.interval[1])));
  }
  if (isNumber(t.difference)) parts.push(differenceLine(t.difference, t.difference_interval));
  parts.push(el('div', { class: 'small what' }, METRICS[t.metric] ?? ''));
  return el('div', { class: 'tile', role: 'listitem' }, ...parts);
}

/** Whether the interval leaves no doubt: 'up', 'down' or 'same'. */
function direction(interval) {
  if (!interval) return 'same';
  return interval[0] > 0 ? 'up' : interval[1] < 0 ? 'down' : 'same';
}

const ARROWS = { up: '▲ ', down: '▼ ', same: '' };

function differenceLine(difference, interval) {
  const way = direction(interval);
  return el('div', { class: `difference ${way}` },
    el('span', { class: 'number' }, ARROWS[way], number(difference, signed)), ' ',
    interval ? el('span', { class: 'small' }, '(', number(interval[0], signed), ' to ',
      number(interval[1], signed), ')') : null);
}

function provenance() {
  const p = DATA.provenance;
  const rows = [];
  const add = (term, ...text) => rows.push(el('dt', {}, term), el('dd', {}, ...text));
  if (isNumber(p.max_dets)) add('Protocol', `${p.protocol}, at most ${p.max_dets} detections`);
  else add('Protocol', p.protocol);
  add('Comparable', p.comparable);
  if (p.against) add('Baseline', nameOf(p.against));
  if (p.config) add('Config', nameOf(p.config));
  if (p.checkpoint) {
    add('Checkpoint', nameOf(p.checkpoint.file),
      p.checkpoint.sha256 ? el('code', {}, ` sha256 ${p.checkpoint.sha256}`) : '');
  }
  if (p.data) {
    const sizes = [['images', p.data.images], ['annotations', p.data.annotations]]
      .filter(([, n]) => isNumber(n)).map(([what, n]) => `${count(n)} ${what}`);
    add('Data', nameOf(p.data.file), sizes.length ? `: ${sizes.join(', ')}` : '');
  }
  const versions = Object.entries(p.versions ?? {});
  if (versions.length) add('Versions', versions.map((pair) => pair.join(' ')).join(', '));
  if (p.date) add('Date', p.date.replace('T', ' '));
  if (p.command) add('Command', el('code', {}, p.command));
  return el('details', { class: 'provenance', open: window.innerWidth > 700 },
    el('summary', {}, 'Where these numbers come from'), el('dl', {}, ...rows));
}

function headline() {
  const host = byId('headline');
  document.querySelector('h1').replaceChildren(nameOf(DATA.title));
  host.append(subtitle());
  const kinds = [...new Set(DATA.tiles.map((t) => t.iou_type))];
  for (const kind of kinds) {
    const tiles = DATA.tiles.filter((t) => t.iou_type === kind).map(tile);
    if (ROWS[kind]) host.append(el('h2', { class: 'row-name' }, ROWS[kind]));
    host.append(el('div', { class: 'tiles', role: 'list' }, ...tiles));
  }
  const words = [];
  if (DATA.tiles.some((t) => t.interval)) {
    words.push('Small: 95% intervals from a bootstrap over images. ');
  }
  if (DATA.tiles.some((t) => isNumber(t.difference))) {
    words.push('Differences are to ', nameOf(DATA.provenance.against ?? 'the baseline'),
      '; coloured, with an arrow, only where the interval excludes zero.');
  }
  host.append(el('p', { class: 'small' }, ...words), provenance());
}
