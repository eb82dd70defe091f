// What costs AP50 by kind of error; where objects go.
const KIND_WORDS = {
  classification: 'right place, wrong class', localisation: 'right class, wrong place',
  both: 'wrong class and wrong place', duplicate: 'a second one on an object that is found',
  background: 'nothing is there', missed: 'nothing found the object',
};

function errorChart() {
  const { kinds, groups } = DATA.errors;
  const keys = groupsOf(groups);
  const bars = kinds.flatMap((kind) => keys.map((key) => (
    { kind, key, cost: groups[key].cost[kind], count: groups[key].count[kind] }
  )));
  const lines = (b) => [`${b.kind}: ${KIND_WORDS[b.kind] ?? ''}`, look(b.key).name,
    `AP50 lost ${fraction(b.cost)}`, `${count(b.count)} ${b.kind === 'missed' ? 'objects' : 'detections'}`];
  const height = 60 + kinds.length * (keys.length * 16 + 14);
  const draw = (svg, width) => {
    const [left, right, top, bottom] = [98, width - 44, 8, height - 46];
    const costs = bars.map((b) => b.cost ?? 0);
    const x = d3.scaleLinear().domain([Math.min(0, d3.min(costs)), Math.max(0.01, d3.max(costs))])
      .range([left, right]).nice(4);
    const row = d3.scaleBand().domain(kinds).range([top, bottom]).paddingInner(0.22);
    const bar = d3.scaleBand().domain(keys).range([0, row.bandwidth()]).padding(0.12);
    bottomAxis(svg, x, { top: bottom, left, right, name: 'AP50 lost', ticks: 4 });
    svg.append('g').attr('class', 'row-names').selectAll('text').data(kinds).join('text')
      .attr('x', left - 8).attr('y', (kind) => row(kind) + row.bandwidth() / 2 + 4)
      .attr('text-anchor', 'end').text((kind) => kind);
    const known = bars.filter((b) => isNumber(b.cost));
    const place = (b) => row(b.kind) + bar(b.key);
    tipped(svg.append('g').attr('class', 'bars').selectAll('rect').data(known).join('rect')
      .attr('x', (b) => Math.min(x(0), x(b.cost))).attr('y', place)
      .attr('width', (b) => Math.max(1, Math.abs(x(b.cost) - x(0)))).attr('height', bar.bandwidth())
      .style('fill', (b) => look(b.key).colour), lines);
    svg.append('g').attr('class', 'bar-names').selectAll('text').data(known).join('text')
      .attr('x', (b) => Math.max(x(0), x(b.cost)) + 4)
      .attr('y', (b) => place(b) + bar.bandwidth() / 2 + 4).text((b) => fraction(b.cost));
  };
  const rows = Object.keys(groups).sort((a, b) => GROUPS.indexOf(a) - GROUPS.indexOf(b)).map((key) => [
    chip(key), number(groups[key].AP50),
    ...kinds.map((kind) => el('span', {}, number(groups[key].cost[kind]), ' (',
      number(groups[key].count[kind], count), ')')),
  ]);
  return el('div', {}, el('h3', {}, 'What costs AP'), legend(keys),
    paragraph('How much higher AP50 would be if one kind of error were repaired and all else '
      + 'stayed; the kinds do not add up.', 'small'),
    chart('AP50 lost by kind of error and group', height, draw),
    numbersBelow(smallTable('AP50, and what each kind costs of it (number of errors)',
      ['', 'AP50', ...kinds], rows)));
}

/** Columns of the flows in words. */
function columnName(column) {
  if (column === 'correct') return 'its own class';
  if (column === 'missed') return 'missed';
  return column === 'other' ? 'another class' : `another ${look(column).name} class`;
}

function columnLook(column) {
  if (column === 'correct') return { colour: 'var(--right)', mark: '✓' };
  if (column === 'missed') return { colour: 'var(--all)', mark: '✕' };
  return look(column);
}

function flowChart() {
  const { columns, groups } = DATA.flows;
  const keys = groupsOf(groups).filter((key) => d3.sum(groups[key]) > 0);
  const flows = keys.flatMap((key) => columns.map((column, k) => (
    { key, column, count: groups[key][k], share: groups[key][k] / d3.sum(groups[key]) }
  ))).filter((flow) => flow.count > 0);
  const used = columns.filter((column) => flows.some((flow) => flow.column === column));
  const lines = (f) => [`${look(f.key).name} → ${columnName(f.column)}`,
    `${percent(f.share)}: ${count(f.count)} of ${count(d3.sum(groups[f.key]))} ${OBJECTS}`];
  const height = 392;
  const draw = (svg, width) => {
    const narrow = width < 480;
    const [top, bottom, gap] = [26, height - 8, 22];
    const wordsOf = (column) => (narrow && GROUPS.includes(column) ? `a ${look(column).name} one`
      : columnName(column));
    const room = (texts) => 34 + 6.7 * d3.max(texts, (words) => words.length);
    const left = room(keys.map((key) => look(key).name));
    const right = width - room(used.map(wordsOf));
    // groups are equally high, whatever their size, so that rare ones are seen
    const unit = (bottom - top - gap * (Math.max(keys.length, used.length) - 1)) / keys.length;
    const from = {};
    const to = {};
    const start = (n) => top + (bottom - top - unit * keys.length - gap * (n - 1)) / 2;
    keys.forEach((key, k) => { from[key] = start(keys.length) + k * (unit + gap); });
    let at = start(used.length);
    for (const column of used) {
      to[column] = at;
      at += unit * d3.sum(flows.filter((f) => f.column === column), (f) => f.share) + gap;
    }
    const [out, into] = [{ ...from }, { ...to }];
    for (const flow of d3.sort(flows, (f) => used.indexOf(f.column))) {
      [flow.y0, flow.y1, flow.thick] = [out[flow.key], into[flow.column], unit * flow.share];
      out[flow.key] += flow.thick;
      into[flow.column] += flow.thick;
    }
    const ribbon = (f) => {
      const [a, b, middle] = [left + 12, right - 12, (left + right) / 2];
      const thick = Math.max(f.thick, 1);
      return `M${a},${f.y0}C${middle},${f.y0} ${middle},${f.y1} ${b},${f.y1}`
        + `V${f.y1 + thick}C${middle},${f.y1 + thick} ${middle},${f.y0 + thick} ${a},${f.y0 + thick}Z`;
    };
    tipped(svg.append('g').attr('class', 'flows').selectAll('path').data(flows).join('path')
      .attr('d', ribbon).style('fill', (f) => look(f.key).colour), lines);
    const node = (x, y, high, colour) => svg.append('rect').attr('class', 'node')
      .attr('x', x).attr('y', y).attr('width', 12).attr('height', Math.max(high, 1)).style('fill', colour);
    const text = (x, y, anchor, words) => svg.append('text').attr('class', 'node-name')
      .attr('x', x).attr('y', y).attr('text-anchor', anchor).text(words);
    const named = (x, y, anchor, { mark, colour }, words) => text(x, y, anchor, '')
      .call(marked, () => mark, colour, words);
    for (const key of keys) {
      node(left, from[key], unit, look(key).colour);
      named(left - 6, from[key] + unit / 2, 'end', look(key), look(key).name);
      text(left - 6, from[key] + unit / 2 + 15, 'end', count(d3.sum(groups[key])));
    }
    const middles = used.map((column) => (to[column] + into[column]) / 2 + 4);
    const places = spread(middles, 15, top, bottom);
    used.forEach((column, k) => {
      node(right - 12, to[column], into[column] - to[column], columnLook(column).colour);
      named(right + 6, places[k], 'start', columnLook(column), wordsOf(column));
    });
    text(left + 12, 14, 'end', `${OBJECTS} of`);
    text(right - 12, 14, 'start', 'taken for');
  };
  const rows = Object.keys(groups).sort((a, b) => GROUPS.indexOf(a) - GROUPS.indexOf(b)).map((key) => [
    chip(key), ...groups[key].map((n) => number(n, count)),
  ]);
  return el('div', {}, DATA.errors ? el('h3', {}, 'Where objects go') : null,
    paragraph(`Each group as a whole, whatever its number of ${OBJECTS}: what `
      + (CLASSIFIER ? 'they are taken for.' : 'the best detection on each says.'),
    'small'),
    chart('Flows from groups of classes to what they are taken for', height, draw),
    numbersBelow(smallTable(`Numbers of ${OBJECTS}`, ['', ...columns.map(columnName)], rows)));
}

/** Crops of a confusion that were kept. */
const cropsOf = (c) => DATA.gallery.filter((crop) => (
  crop.truth === c.truth && (crop.predicted ?? null) === c.predicted
)).length;

function confusionTable() {
  const { name, group } = DATA.classes;
  const state = { text: '', group: '', limit: 12 };
  const body = el('tbody');
  const more = el('button', {
    type: 'button', class: 'more',
    onclick: () => {
      state.limit += 50;
      update();
    },
  });
  const classCell = (i) => el('span', {}, chip(group[i], ''), nameOf(name[i]));
  const cells = (c) => {
    const crops = cropsOf(c);
    return el('tr', {}, el('td', {}, classCell(c.truth)),
      el('td', {}, isNumber(c.predicted) ? classCell(c.predicted) : el('i', {}, 'missed')),
      el('td', {}, number(c.count, count)),
      el('td', {}, crops ? el('button', {
        type: 'button', class: 'link',
        'aria-label': `Crops of ${name[c.truth]} taken for ${name[c.predicted] ?? 'nothing'}`,
        onclick: () => showCrops({ truth: c.truth, predicted: c.predicted }),
      }, `${crops} crop${crops > 1 ? 's' : ''}`) : NONE));
  };
  function update() {
    const has = (i) => isNumber(i) && name[i].toLowerCase().includes(state.text);
    const found = DATA.flows.confusions.filter((c) => (has(c.truth) || has(c.predicted))
      && (!state.group || group[c.truth] === state.group));
    body.replaceChildren(...found.slice(0, state.limit).map(cells));
    more.hidden = found.length <= state.limit;
    more.textContent = `More (${count(found.length - state.limit)})`;
  }
  const head = [CLASSIFIER ? 'image of' : 'object', 'taken for', 'number', 'see'];
  const table = el('table', { class: 'confusions' },
    el('caption', { class: 'unseen' }, 'Most frequent confusions'),
    el('thead', {}, el('tr', {}, ...head.map((text) => el('th', { scope: 'col' }, text)))), body);
  const groups = [['', 'all groups'], ...GROUPS.map((key) => [key, look(key).name])];
  update();
  return el('div', { class: 'wide' }, el('h3', {}, 'Most frequent confusions'),
    el('div', { class: 'controls' },
      labelled('Find', search('part of a class name', (text) => {
        state.text = text;
        update();
      })),
      GROUPS.length ? labelled(CLASSIFIER ? 'Images of' : 'Objects of', select(groups, (key) => {
        state.group = key;
        update();
      })) : null),
    el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Confusions' }, table),
    more);
}

function errors() {
  const parts = [];
  if (DATA.errors) parts.push(errorChart());
  if (DATA.flows) parts.push(flowChart());
  if (DATA.flows?.confusions.length && DATA.classes) parts.push(confusionTable());
  const title = DATA.errors ? 'Errors, and where objects go'
    : CLASSIFIER ? 'What images are taken for' : 'Where objects go';
  section('errors', title, el('div', { class: 'columns' }, ...parts));
}
