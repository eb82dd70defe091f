// Crops of what was missed, found and made up.
const CROP_NAMES = { missed: 'missed', hit: 'hit', false_positive: 'false positive' };
const CROP_MARKS = { missed: '✕', hit: '✓', false_positive: '!' };
const CROPS_A_PAGE = 24;
const className = (i) => (isNumber(i) ? DATA.classes?.name[i] ?? `class ${i}` : 'nothing');
let showCrops = () => {};

const VEILED = DATA.gallery?.some((crop) => crop.veil);

/** What happened, the names in it isolated: text from right to left stays in its place. */
function wording(crop) {
  const names = [crop.class, crop.truth, crop.predicted].filter(isNumber).map(className)
    .sort((a, b) => b.length - a.length);
  if (!names.length) return crop.text;
  const escaped = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return crop.text.replace(new RegExp(escaped.join('|'), 'g'), '\u2068$&\u2069');
}

/** Boxes and outlines over a crop, in its pixels. */
function overlay(crop) {
  const svg = d3.create('svg:svg').attr('viewBox', `0 0 ${crop.width} ${crop.height}`)
    .attr('aria-hidden', 'true');
  if (crop.veil) {
    svg.append('image').attr('class', 'veil').attr('href', crop.veil).attr('preserveAspectRatio', 'none')
      .attr('x', -0.5).attr('y', -0.5).attr('width', crop.width + 1).attr('height', crop.height + 1);
  }
  const shapes = [
    ['truth', crop.truth_box, crop.truth_outline], ['found', crop.box, crop.outline],
  ];
  for (const [kind, box, outline] of shapes) {
    if (outline) svg.append('polygon').attr('class', `${kind} outline`).attr('points', outline.join(' '));
    if (!box) continue;
    for (const layer of ['halo', kind]) {
      svg.append('rect').attr('class', layer).attr('x', box[0]).attr('y', box[1])
        .attr('width', box[2]).attr('height', box[3]);
    }
  }
  return svg.node();
}

function picture(crop) {
  return el('div', { class: 'picture' },
    el('img', { src: crop.src, alt: wording(crop), decoding: 'async' }), overlay(crop));
}

const cropKind = (crop) => el('span', { class: `kind ${crop.kind}` },
  el('span', { 'aria-hidden': 'true' }, `${CROP_MARKS[crop.kind]} `), CROP_NAMES[crop.kind]);

function gallery() {
  const crops = DATA.gallery;
  const groupOf = (crop) => DATA.classes?.group[crop.class] ?? '';
  const state = { kind: '', group: '', text: '', only: null, limit: CROPS_A_PAGE };
  let shown = [];
  const grid = el('div', { class: 'crops' });
  const status = el('p', { role: 'status', class: 'small' });
  const only = el('button', {
    type: 'button', class: 'only', hidden: true,
    onclick: () => {
      state.only = null;
      update();
    },
  });
  const more = el('button', {
    type: 'button', class: 'more',
    onclick: () => {
      const first = state.limit;
      state.limit += CROPS_A_PAGE;
      update();
      grid.children[first]?.focus();
    },
  }, 'More');

  function isWanted(crop) {
    const { only: wanted } = state;
    if (wanted && 'class' in wanted && ![crop.class, crop.truth, crop.predicted].includes(wanted.class)) {
      return false;
    }
    if (wanted && 'truth' in wanted
      && (crop.truth !== wanted.truth || (crop.predicted ?? null) !== wanted.predicted)) return false;
    if (state.text && ![crop.class, crop.truth, crop.predicted].some(
      (i) => isNumber(i) && className(i).toLowerCase().includes(state.text),
    )) return false;
    return (!state.kind || crop.kind === state.kind) && (!state.group || groupOf(crop) === state.group);
  }

  const facts = (crop) => [['score', crop.score], ['IoU', crop.iou]].filter((f) => isNumber(f[1]));

  function card(crop, k) {
    const numbers = facts(crop).flatMap(([what, value]) => [`${what} `, number(value, (v) => fraction(v, 2)), ' ']);
    return el('button', { type: 'button', class: 'crop', onclick: () => open(k) },
      picture(crop),
      el('span', { class: 'line' }, cropKind(crop), chip(groupOf(crop), '')),
      el('span', { class: 'line' }, el('span', {}, ...breakable(wording(crop)))),
      el('span', { class: 'small' }, ...numbers));
  }

  function update() {
    shown = crops.filter(isWanted);
    grid.replaceChildren(...shown.slice(0, state.limit).map(card));
    more.hidden = shown.length <= state.limit;
    only.hidden = state.only === null;
    if (state.only) {
      const words = 'class' in state.only ? className(state.only.class)
        : `${className(state.only.truth)} → ${className(state.only.predicted)}`;
      only.replaceChildren('only ', nameOf(words), ' ✕');
    }
    status.textContent = shown.length ? `${shown.length} of ${crops.length} crops`
      : `No crop of this was kept; the page keeps ${crops.length}, worst of the rarest classes first.`;
  }

  // one crop, large
  const dialog = byId('crop');
  let at = 0;
  function open(k) {
    at = (k + shown.length) % shown.length;
    const crop = shown[at];
    const rows = [['truth', nameOf(className(crop.truth))],
      [CLASSIFIER ? 'prediction' : 'detection', nameOf(className(crop.predicted))],
      ...facts(crop).map(([what, value]) => [what, number(value)]), ['image', nameOf(crop.image)]];
    const step = (text, label, by) => el('button', {
      type: 'button', 'aria-label': label, onclick: () => open(at + by),
    }, text);
    dialog.replaceChildren(
      el('div', { class: 'bar' }, step('‹', 'Previous crop', -1),
        el('span', {}, `${at + 1} of ${shown.length}`), step('›', 'Next crop', 1),
        el('button', { type: 'button', class: 'close', 'aria-label': 'Close', onclick: () => dialog.close() }, '✕')),
      picture(crop), el('p', {}, cropKind(crop), ' ', wording(crop)),
      el('dl', {}, ...rows.flatMap(([term, text]) => [el('dt', {}, term), el('dd', {}, text)])));
    if (!dialog.open) dialog.showModal();
  }
  dialog.addEventListener('keydown', (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) open(at + by);
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });

  const filter = (key) => (value) => {
    state[key] = value;
    state.limit = CROPS_A_PAGE;
    update();
  };
  const kinds = [['', 'all'], ...Object.entries(CROP_NAMES)
    .filter(([kind]) => crops.some((crop) => crop.kind === kind))];
  const groups = [['', 'all groups'], ...GROUPS.map((key) => [key, look(key).name])];
  const pickers = { kind: select(kinds, filter('kind')), group: select(groups, filter('group')) };
  const find = search('part of a class name', filter('text'));
  const veils = VEILED ? el('label', { class: 'toggle' }, el('input', {
    type: 'checkbox', checked: true,
    onchange: (event) => document.body.classList.toggle('unveiled', !event.target.checked),
  }), 'attention') : null;
  const key = (kind, text) => el('span', { class: 'key' },
    el('span', { class: `line-of ${kind}`, 'aria-hidden': 'true' }), text);
  section('gallery', 'Crops',
    el('div', { class: 'controls' }, labelled('Show', pickers.kind),
      GROUPS.length ? labelled('Group', pickers.group) : null, labelled('Find', find), veils, only),
    CLASSIFIER ? null
      : el('div', { class: 'legend' }, key('found', 'detection'), key('truth', 'truth (dashed)')),
    VEILED ? paragraph('Bright, and in yellow lines, is where the model sees the class that it predicts '
      + '(at least half of the most, in the class activation map).', 'small') : null,
    status, grid, more);
  update();

  showCrops = (wanted) => {
    Object.assign(state, { kind: '', group: '', text: '', only: wanted, limit: CROPS_A_PAGE });
    pickers.kind.value = '';
    pickers.group.value = '';
    find.value = '';
    update();
    say(status.textContent);
    hideTip();
    byId('gallery').scrollIntoView();
    (grid.firstElementChild ?? only).focus({ preventScroll: true });
  };
}
