// Elements, numbers, groups, the tooltip. Texts of the data reach the page through textContent.
const DATA = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);

/** An element; children are elements or texts, attributes named on... are listeners. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const MINUS = '\u2212';
const NONE = '–';
const isNumber = (value) => value !== null && value !== undefined;

function fraction(value, digits = 3) {
  return isNumber(value) ? value.toFixed(digits).replace('-', MINUS) : NONE;
}

function signed(value, digits = 3) {
  if (!isNumber(value)) return NONE;
  const text = Math.abs(value).toFixed(digits);
  return (Number(text) === 0 ? '' : value > 0 ? '+' : MINUS) + text;
}

const count = (value) => (isNumber(value) ? value.toLocaleString('en-US') : NONE);
const percent = (value) => (isNumber(value) ? `${(100 * value).toFixed(1)}%` : NONE);
const range = (ends, format = fraction) => `${format(ends[0])} to ${format(ends[1])}`;

/** A number on the page, with what the data says in data-value. */
function number(value, format = fraction, attributes = {}) {
  return el('span', { class: 'number', 'data-value': value, ...attributes }, format(value));
}

/** A name from the data: isolated, so that text from right to left stays in its place. */
function nameOf(text) {
  return el('bdi', {}, ...breakable(text));
}

/** A text whose lines may also break after the joints of names. */
function breakable(text) {
  const parts = String(text).split(/(?<=[_/\\])/);
  return parts.flatMap((part, k) => (k ? [el('wbr'), part] : [part]));
}

// groups, rarest first, have the same colour and mark everywhere
const LOOKS = [
  { colour: 'var(--rare)', symbol: d3.symbolTriangle, mark: '▲' },
  { colour: 'var(--common)', symbol: d3.symbolSquare, mark: '■' },
  { colour: 'var(--frequent)', symbol: d3.symbolCircle, mark: '●' },
];
const UNGROUPED = { colour: 'var(--all)', symbol: d3.symbolCircle, mark: '○', name: 'all classes' };
const ORDER = ['r', 'c', 'f', 'few', 'medium', 'many'];
const NAMES = {
  r: 'rare', c: 'common', f: 'frequent', few: 'few-shot', medium: 'medium-shot', many: 'many-shot',
};
const GROUPS = ORDER.filter((key) => key in (DATA.groups ?? {}));
const look = (key) => {
  const place = ORDER.indexOf(key);
  return place < 0 ? UNGROUPED : { ...LOOKS[place % 3], name: NAMES[key] };
};
/** Groups that a dict by group has; 'all' where classes have no groups. */
const groupsOf = (dict) => {
  const known = GROUPS.filter((key) => key in dict);
  return known.length ? known : ['all'];
};

function chip(key, text) {
  const { colour, mark, name } = look(key);
  const sign = el('span', { class: 'mark', 'aria-hidden': 'true' }, mark);
  sign.style.color = colour;
  return el('span', { class: 'chip' }, sign, text ?? name);
}

const AP_NAMES = { bbox: 'box AP', segm: 'mask AP', accuracy: 'accuracy' };
const AR_NAMES = { bbox: 'box AR', segm: 'mask AR', accuracy: 'recall' };
const CLASSIFIER = DATA.kind === 'classifier';
const OBJECTS = CLASSIFIER ? 'images' : 'annotations';

/** Show a section with its heading and an entry in the navigation. */
function section(id, title, ...children) {
  const host = byId(id);
  host.append(el('h2', { id: `${id}-title` }, title), ...children.filter((child) => child));
  host.hidden = false;
  return host;
}

const paragraph = (text, kind = null) => el('p', { class: kind }, text);

/** A small table. The first cell of each row names it. */
function smallTable(caption, head, rows, kind = 'small') {
  const row = (cells) => {
    const [first, ...rest] = cells;
    return el('tr', {}, el('th', { scope: 'row' }, first), ...rest.map((c) => el('td', {}, c)));
  };
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    el('table', { class: kind },
      el('caption', {}, el('span', {}, caption)),
      el('thead', {}, el('tr', {}, ...head.map((text) => el('th', { scope: 'col' }, text)))),
      el('tbody', {}, ...rows.map(row))));
}

const numbersBelow = (...tables) => el('details', {}, el('summary', {}, 'The numbers'), ...tables);

function say(text) {
  byId('live').textContent = text;
}

/** Show lines beside a point of the window. */
function showTip(lines, x, y) {
  const tip = byId('tip');
  tip.replaceChildren(...lines.map((line) => el('div', { dir: 'auto' }, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 14 + width > document.documentElement.clientWidth ? x - 14 - width : x + 14;
  const top = y + 14 + height > window.innerHeight ? y - 14 - height : y + 14;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

function hideTip() {
  byId('tip').hidden = true;
}

/** Lines for each mark: under the pointer, with the focus, and for a screen reader. */
function tipped(marks, lines) {
  marks.attr('tabindex', 0).attr('role', 'img').attr('aria-label', (d) => lines(d).join(', '))
    .on('pointerenter pointermove', (event, d) => showTip(lines(d), event.clientX, event.clientY))
    .on('pointerleave blur', hideTip)
    .on('focus', (event, d) => {
      const box = event.currentTarget.getBoundingClientRect();
      showTip(lines(d), box.left + box.width / 2, box.top + box.height / 2);
    });
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') hideTip();
});
window.addEventListener('scroll', hideTip, { passive: true });

const labelled = (text, control) => el('label', {}, el('span', {}, text), control);

function select(options, onchange) {
  const choices = options.map(([value, text]) => el('option', { value }, text));
  return el('select', { onchange: (event) => onchange(event.target.value) }, ...choices);
}

function search(placeholder, oninput) {
  return el('input', {
    type: 'search', placeholder, autocomplete: 'off', spellcheck: 'false',
    oninput: (event) => oninput(event.target.value.trim().toLowerCase()),
  });
}
