// Every class: a table in pages, sorted and filtered, and its CSV.
const PAGE_SIZES = [25, 50, 200, 100000];

/** What the table shows: title, value of a class (for sorting and the CSV), its cell. */
function classColumns() {
  const c = DATA.classes;
  const columns = [
    {
      title: 'class', value: (i) => c.name[i], text: true,
      cell: (i) => el('button', {
        type: 'button', class: 'link', title: 'Its crops', onclick: () => showCrops({ class: i }),
      }, nameOf(c.name[i])),
    },
  ];
  const add = (title, value, format, cell) => columns.push(
    { title, value, cell: cell ?? ((i) => number(value(i), format)) },
  );
  if (GROUPS.length) {
    columns.push({
      title: 'group', text: true, value: (i) => GROUPS.indexOf(c.group[i]), csv: (i) => look(c.group[i]).name,
      cell: (i) => chip(c.group[i]),
    });
  }
  add('training images', (i) => c.train_images[i], count);
  if (c.train_instances) add('training instances', (i) => c.train_instances[i], count);
  add('images', (i) => c.images[i], count);
  if (DATA.kind !== 'classifier') add('annotations', (i) => c.annotations[i], count);
  for (const kind of Object.keys(c.ap)) add(AP_NAMES[kind], (i) => c.ap[kind][i], fraction);
  for (const kind of Object.keys(c.ar ?? {})) add(AR_NAMES[kind], (i) => c.ar[kind][i], fraction);
  if (c.against) {
    const { difference, interval } = c.against;
    add('difference', (i) => difference[i], signed, (i) => {
      const way = direction(interval?.[i]);
      return el('span', { class: `difference ${way}` }, ARROWS[way], number(difference[i], signed));
    });
    columns.push({
      title: '95% interval', value: (i) => interval?.[i]?.[0], unsorted: true,
      csv: (i) => (interval?.[i] ? interval[i].join(' to ') : ''),
      cell: (i) => (interval?.[i] ? el('span', {}, number(interval[i][0], signed), ' to ',
        number(interval[i][1], signed)) : NONE),
    });
  }
  if (c.hits) add('hits', (i) => c.hits[i], count);
  if (c.misses) add('misses', (i) => c.misses[i], count);
  if (c.false_positives) add('false positives', (i) => c.false_positives[i], count);
  if (c.confused_with) {
    const other = (i) => c.confused_with[i];
    columns.push({
      title: 'most confused with', value: (i) => other(i)?.count, text: true,
      csv: (i) => (other(i) ? `${c.name[other(i).class] ?? 'missed'} (${other(i).count})` : ''),
      cell: (i) => (other(i) ? el('span', {}, nameOf(c.name[other(i).class] ?? 'missed'), ' ',
        number(other(i).count, (n) => `×${count(n)}`)) : NONE),
    });
  }
  return columns;
}

/** A cell of a CSV. A text that a spreadsheet would take for a formula gets an apostrophe. */
function csvCell(value) {
  if (typeof value === 'number') return String(value);
  let text = String(value ?? '');
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(text, file) {
  const url = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv;charset=utf-8' }));
  el('a', { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function classTable() {
  const c = DATA.classes;
  const columns = classColumns();
  const names = c.name.map((name) => name.toLowerCase());
  const numbered = columns.findIndex((column) => column.title === 'training images');
  const state = { by: numbered, down: false, text: '', group: '', page: 0, size: 25 };
  let order = [];
  const body = el('tbody');
  const heads = columns.map((column, k) => {
    const kind = column.text ? 'text' : null;
    if (column.unsorted) return el('th', { scope: 'col', class: 'plain' }, column.title);
    return el('th', { scope: 'col', 'aria-sort': 'none', class: kind }, el('button', {
      type: 'button', class: 'sort',
      onclick: () => {
        state.down = state.by === k ? !state.down : !column.text;
        state.by = k;
        update();
      },
    }, column.title));
  });

  function compare(a, b) {
    const { value } = columns[state.by];
    const [x, y] = [value(a), value(b)];
    if (!isNumber(x) || !isNumber(y)) return isNumber(y) - isNumber(x) || a - b; // nulls last
    const way = typeof x === 'string' ? x.localeCompare(y) : x - y;
    return (state.down ? -way : way) || a - b;
  }

  const made = new Map(); // rows are made once and moved afterwards

  function row(i) {
    if (!made.has(i)) made.set(i, newRow(i));
    return made.get(i);
  }

  function newRow(i) {
    const cells = columns.map(({ cell, text }, k) => (k === 0
      ? el('th', { scope: 'row' }, cell(i)) : el('td', { class: text ? 'text' : null }, cell(i))));
    return el('tr', { 'data-class': i }, ...cells);
  }

  const status = el('span', { role: 'status' });
  const button = (text, label, step) => el('button', {
    type: 'button', 'aria-label': label,
    onclick: () => {
      state.page += step;
      draw();
    },
  }, text);
  const [previous, next] = [button('‹', 'Previous page', -1), button('›', 'Next page', 1)];

  function draw(size = state.size) {
    const pages = Math.max(1, Math.ceil(order.length / size));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const first = state.page * size;
    const rows = order.slice(first, first + size);
    body.replaceChildren(...rows.map(row));
    previous.disabled = state.page === 0;
    next.disabled = state.page === pages - 1;
    status.textContent = rows.length
      ? `${count(first + 1)} to ${count(first + rows.length)} of ${count(order.length)} classes`
      : 'no such class';
  }

  function update() {
    order = d3.range(names.length)
      .filter((i) => names[i].includes(state.text) && (!state.group || c.group[i] === state.group))
      .sort(compare);
    state.page = 0;
    heads.forEach((head, k) => {
      if (columns[k].unsorted) return;
      const way = state.by === k ? (state.down ? 'descending' : 'ascending') : 'none';
      head.setAttribute('aria-sort', way);
    });
    draw();
  }

  // paper has all rows that the filters leave
  let page = 0;
  window.addEventListener('beforeprint', () => {
    page = state.page;
    draw(Math.max(1, order.length));
  });
  window.addEventListener('afterprint', () => {
    state.page = page;
    draw();
  });

  const csv = () => {
    const exact = (column) => column.csv ?? column.value;
    const lines = [columns.map((column) => csvCell(column.title)),
      ...order.map((i) => columns.map((column) => csvCell(exact(column)(i))))];
    download(lines.map((line) => line.join(',')).join('\r\n') + '\r\n', 'classes.csv');
  };
  const groups = [['', 'all groups'], ...GROUPS.map((key) => [key, look(key).name])];
  const sizes = PAGE_SIZES.map((n) => [n, n > 1000 ? 'all' : String(n)]);
  const what = { bbox: 'boxes', segm: 'masks' }[DATA.iou_type];
  section('classes', 'Every class',
    what ? paragraph(`Hits, misses, false positives and confusions are of ${what} at IoU 0.5`
      + `${c.against ? `, differences of ${AP_NAMES[DATA.iou_type]}` : ''}.`, 'small') : null,
    el('div', { class: 'controls' },
      labelled('Find', search('part of a class name', (text) => {
        state.text = text;
        update();
      })),
      GROUPS.length ? labelled('Group', select(groups, (key) => {
        state.group = key;
        update();
      })) : null,
      labelled('Rows', select(sizes, (n) => {
        state.size = Number(n);
        update();
      })),
      el('button', { type: 'button', id: 'csv', onclick: csv }, 'Download as CSV')),
    el('div', { class: 'scroll tall', tabindex: '0', role: 'region', 'aria-label': 'Every class' },
      el('table', { class: 'classes' },
        el('caption', { class: 'unseen' }, 'Every class; the buttons of the head sort it'),
        el('thead', {}, el('tr', {}, ...heads)), body)),
    el('div', { class: 'pager' }, previous, status, next));
  update();
}
