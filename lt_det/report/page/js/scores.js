// Whether scores can be trusted: reliability, and scores of hits and false positives.
const [RIGHT, WRONG] = CLASSIFIER ? ['right', 'wrong'] : ['hits', 'false positives'];

function reliability(key, scores) {
  const most = d3.max(scores.bins, (bin) => bin.count) ?? 1;
  const lines = (bin) => [`scores ${fraction(bin.lower, 2)} to ${fraction(bin.upper, 2)}`,
    `mean score ${fraction(bin.confidence)}`, `of them right ${fraction(bin.accuracy)}`,
    `${count(bin.count)} ${CLASSIFIER ? 'images' : 'detections'}`];
  const draw = (svg, width, height) => {
    const [left, right, top, bottom] = [34, width - 12, 26, height - 44];
    const x = d3.scaleLinear().domain([0, 1]).range([left, right]);
    const y = d3.scaleLinear().domain([0, 1]).range([bottom, top]);
    leftAxis(svg, y, { left, right, name: 'share that is right' });
    bottomAxis(svg, x, { top: bottom, left, right, name: 'score' });
    svg.append('line').attr('class', 'ideal').attr('x1', left).attr('y1', bottom)
      .attr('x2', right).attr('y2', top);
    svg.append('path').attr('class', 'curve').style('stroke', look(key).colour)
      .attr('d', d3.line((bin) => x(bin.confidence), (bin) => y(bin.accuracy))(scores.bins));
    const radius = (bin) => 2.5 + 5 * Math.sqrt(bin.count / most);
    tipped(svg.append('g').selectAll('circle').data(scores.bins).join('circle')
      .attr('class', 'dot').attr('cx', (bin) => x(bin.confidence)).attr('cy', (bin) => y(bin.accuracy))
      .attr('r', radius).style('fill', look(key).colour), lines);
  };
  return chart(`Reliability of ${look(key).name}: share that is right against score`, 240, draw);
}

function histogram(key, scores) {
  const { hits, false_positives: wrong, edges, best_f1: best } = scores;
  const most = Math.max(d3.max(hits), d3.max(wrong), 1);
  const draw = (svg, width, height) => {
    const [left, right, top, bottom] = [46, width - 12, 26, height - 44];
    const x = d3.scaleLinear().domain([0, 1]).range([left, right]);
    const y = d3.scaleSymlog().domain([0, most]).range([bottom, top]);
    const decades = [0, ...d3.range(0, 9).map((e) => 10 ** e)].filter((v) => v <= most);
    leftAxis(svg, y, { left, right, name: 'number (log)', values: decades, format: d3.format('~s') });
    bottomAxis(svg, x, { top: bottom, left, right, name: 'score' });
    const steps = (counts) => counts.map((n, k) => ({ n, lower: edges[k], upper: edges[k + 1] }));
    svg.append('g').attr('class', 'bars hits').selectAll('rect').data(steps(hits)).join('rect')
      .attr('x', (s) => x(s.lower)).attr('width', (s) => Math.max(0.5, x(s.upper) - x(s.lower)))
      .attr('y', (s) => y(s.n)).attr('height', (s) => bottom - y(s.n)).style('fill', look(key).colour);
    const outline = [[x(edges[0]), bottom], ...steps(wrong).flatMap((s) => (
      [[x(s.lower), y(s.n)], [x(s.upper), y(s.n)]])), [x(edges.at(-1)), bottom]];
    svg.append('path').attr('class', 'wrong').attr('d', d3.line()(outline));
    if (best) {
      const near = best.threshold > 0.6;
      svg.append('line').attr('class', 'threshold').attr('x1', x(best.threshold))
        .attr('x2', x(best.threshold)).attr('y1', top).attr('y2', bottom);
      svg.append('text').attr('class', 'threshold-name').attr('y', top + 10)
        .attr('x', x(best.threshold) + (near ? -5 : 5)).attr('text-anchor', near ? 'end' : 'start')
        .text(`best F1 at ${fraction(best.threshold)}`);
    }
    const all = svg.append('rect').attr('class', 'cover').attr('x', left).attr('y', top)
      .attr('width', right - left).attr('height', bottom - top);
    all.on('pointermove', (event) => {
      const at = x.invert(d3.pointer(event)[0]);
      const k = Math.min(Math.max(d3.bisectRight(edges, at) - 1, 0), hits.length - 1);
      showTip([`scores ${fraction(edges[k], 2)} to ${fraction(edges[k + 1], 2)}`,
        `${RIGHT} ${count(hits[k])}`, `${WRONG} ${count(wrong[k])}`], event.clientX, event.clientY);
    }).on('pointerleave', hideTip);
  };
  const sums = `${count(d3.sum(hits))} ${RIGHT}, ${count(d3.sum(wrong))} ${WRONG}`;
  return chart(`Scores of ${look(key).name}: ${sums}`, 220, draw, { role: 'img' });
}

function scores() {
  const { groups } = DATA.scores;
  const order = [...GROUPS, 'all'].filter((key) => groups[key]);
  const cards = groupsOf(groups).filter((key) => groups[key]).map((key) => el('div', { class: 'card' },
    el('h3', {}, chip(key)),
    el('p', { class: 'small' }, 'Expected calibration error ', number(groups[key].ece)),
    reliability(key, groups[key]), histogram(key, groups[key])));
  const ofBest = order.some((key) => groups[key].best_f1)
    ? { threshold: 'threshold', F1: 'f1', precision: 'precision', recall: 'recall' } : {};
  const rows = order.map((key) => {
    const { ece, best_f1: best, hits, false_positives: wrong } = groups[key];
    return [chip(key), number(ece), ...Object.values(ofBest).map((name) => number(best?.[name])),
      number(d3.sum(hits), count), number(d3.sum(wrong), count)];
  });
  section('scores', 'Can scores be trusted?',
    paragraph(`Above: of ${CLASSIFIER ? 'images' : 'detections'} with about the same score, how many `
      + 'are right; on the dashed line a score is what it says. The size of a dot is their number. '
      + `Below: numbers by score; bars are ${CLASSIFIER ? 'right' : 'hits'}, the outline is ${WRONG}.`,
    'small'),
    el('div', { class: 'cards' }, ...cards),
    smallTable(`Expected calibration error (ECE)${ofBest.F1 ? ', and the threshold with the best F1' : ''}`,
      ['', 'ECE', ...Object.keys(ofBest), RIGHT, WRONG], rows));
}
