// Accuracy against training images, a mark a class.
function scatter() {
  const { name, group, train_images: trained, ap, against } = DATA.classes;
  const kinds = Object.keys(ap);
  const state = {
    kind: kinds.includes(DATA.iou_type) ? DATA.iou_type : kinds[0],
    text: '', arrows: Boolean(against), hidden: new Set(), at: -1,
  };
  let shown = [];
  const HEIGHT = 460;

  const where = (i) => Math.max(trained[i], 0.5); // 0 has no logarithm
  const matches = (i) => name[i].toLowerCase().includes(state.text);
  const before = (i) => against?.ap[state.kind]?.[i] ?? null;

  function lines(i) {
    const parts = [name[i], look(group[i]).name, `${count(trained[i])} training images`,
      `${AP_NAMES[state.kind]} ${fraction(ap[state.kind][i])}`];
    if (isNumber(before(i))) {
      parts.push(`baseline ${fraction(before(i))} (${signed(ap[state.kind][i] - before(i))})`);
    }
    parts.push(`${count(DATA.classes.annotations[i])} evaluated ${OBJECTS}`);
    return parts;
  }

  function draw(svg, width) {
    const values = ap[state.kind];
    const known = d3.range(name.length)
      .filter((i) => isNumber(values[i]) && isNumber(trained[i]) && !state.hidden.has(group[i]));
    shown = d3.sort(known.filter(matches), where);
    const narrow = width < 560;
    const [left, right, top, bottom] = [34, width - (narrow ? 24 : 165), 28, HEIGHT - 46];
    const all = d3.range(name.length).filter((i) => isNumber(trained[i])).map(where);
    const ends = [Math.min(d3.min(all) ?? 1, 1) / 1.2, Math.max(d3.max(all) ?? 10, 10) * 1.2];
    const x = d3.scaleLog().domain(ends).range([left, right]);
    const best = d3.max(d3.range(name.length), (i) => Math.max(values[i] ?? 0, before(i) ?? 0));
    const y = d3.scaleLinear().domain([0, Math.max(1.05 * best, 0.05)]).nice().range([bottom - 6, top]);
    const decades = d3.range(0, 8).map((e) => 10 ** e).filter((v) => v <= ends[1]);
    leftAxis(svg, y, { left, right, name: AP_NAMES[state.kind] });
    bottomAxis(svg, x, {
      top: bottom, left, right, name: 'training images of the class (log)',
      values: d3.min(all) < 1 ? [0.5, ...decades] : decades,
      format: (v) => (v < 1 ? '0' : d3.format('~s')(v)),
    });
    const isDim = (i) => state.text !== '' && !matches(i);
    const place = (i) => `translate(${x(where(i))},${y(values[i])})`;
    const size = known.length > 300 ? 34 : 70;
    const means = meansOf(values);
    drawMeans(svg, means, x, y);
    for (const [key, own] of d3.group(known, (i) => group[i])) {
      const { colour, symbol } = look(key);
      const g = svg.append('g').attr('class', 'dots').style('color', colour);
      if (state.arrows && against) {
        for (const [dim, some] of d3.group(own, isDim)) {
          g.append('path').attr('class', dim ? 'arrow dim' : 'arrow').attr('d', arrows(some, x, y, size));
        }
      }
      const shape = d3.symbol(symbol, size)();
      g.selectAll('.dot').data(own).join('path').attr('data-class', (i) => i).attr('d', shape)
        .attr('transform', place).attr('class', (i) => (isDim(i) ? 'dot dim' : 'dot'));
    }
    nameMeans(svg, means, { x, y, right, narrow, top, bottom });
    if (state.text && shown.length <= 12) {
      svg.append('g').attr('class', 'dot-names').selectAll('text').data(shown).join('text')
        .attr('x', (i) => x(where(i)) + (x(where(i)) > (left + right) / 2 ? -9 : 9))
        .attr('y', (i) => y(values[i]) + 4)
        .attr('text-anchor', (i) => (x(where(i)) > (left + right) / 2 ? 'end' : 'start'))
        .text((i) => name[i]);
    }
    const ring = svg.append('circle').attr('class', 'ring').attr('r', 9).attr('opacity', 0);
    follow(svg, ring, (i) => [x(where(i)), y(values[i])]);
  }

  /** One path: from the baseline to the edge of the mark, with a head where there is room. */
  function arrows(classes, x, y, size) {
    return classes.filter((i) => isNumber(before(i))).map((i) => {
      const [at, from, end] = [x(where(i)), y(before(i)), y(ap[state.kind][i])];
      const way = Math.sign(end - from);
      const to = end - way * Math.sqrt(size) * 0.6;
      if ((to - from) * way <= 0) return '';
      const head = (to - from) * way > 5 ? `M${at - 3},${to - 4 * way}L${at},${to}L${at + 3},${to - 4 * way}` : '';
      return `M${at},${from}V${to}${head}`;
    }).join('');
  }

  function meansOf(values) {
    return GROUPS.filter((key) => !state.hidden.has(key)).map((key) => {
      const own = d3.range(name.length).filter((i) => group[i] === key && isNumber(values[i]));
      const at = own.filter((i) => isNumber(trained[i])).map(where);
      return { key, mean: d3.mean(own, (i) => values[i]), from: d3.min(at), to: d3.max(at) };
    }).filter((m) => m.mean !== undefined && m.from !== undefined);
  }

  function drawMeans(svg, means, x, y) {
    const lines_ = svg.append('g').attr('class', 'means');
    for (const kind of ['halo', 'mean']) {
      lines_.selectAll(`.${kind}`).data(means).join('line').attr('class', kind)
        .attr('x1', (m) => x(m.from / 1.15)).attr('x2', (m) => x(m.to * 1.15))
        .attr('y1', (m) => y(m.mean)).attr('y2', (m) => y(m.mean))
        .style('stroke', (m) => (kind === 'mean' ? look(m.key).colour : null));
    }
  }

  function nameMeans(svg, means, { x, y, right, narrow, top, bottom }) {
    const places = spread(means.map((m) => y(m.mean)), 16, top, bottom);
    svg.append('g').attr('class', 'mean-names').selectAll('text').data(means).join('text')
      .attr('x', (m) => (narrow ? Math.max(x(m.to), 130) : right + 8))
      .attr('y', (m, k) => places[k] + (narrow ? -6 : 4))
      .attr('text-anchor', narrow ? 'end' : 'start').attr('class', 'mean-name')
      .call(marked, (m) => look(m.key).mark, (m) => look(m.key).colour,
        (m) => `${look(m.key).name} ${fraction(m.mean)}`);
  }

  /** The nearest mark under the pointer; arrow keys go from class to class. */
  function follow(svg, ring, place) {
    const points = shown.map(place);
    const nearest = points.length ? d3.Delaunay.from(points) : null;
    const go = (k, focus) => {
      state.at = k;
      const [px, py] = points[k];
      ring.attr('cx', px).attr('cy', py).attr('opacity', 1);
      const box = svg.node().getBoundingClientRect();
      showTip(lines(shown[k]), box.left + px, box.top + py);
      if (focus) say(lines(shown[k]).join(', '));
    };
    const leave = () => {
      ring.attr('opacity', 0);
      hideTip();
    };
    const find = (event) => {
      const [px, py] = d3.pointer(event);
      const k = nearest ? nearest.find(px, py) : -1;
      return k >= 0 && Math.hypot(points[k][0] - px, points[k][1] - py) < 24 ? k : -1;
    };
    svg.on('pointermove pointerdown', (event) => {
      const k = find(event);
      if (k >= 0) go(k, false);
      else leave();
    }).on('pointerleave blur', leave)
      .on('click', (event) => {
        const k = find(event);
        if (k >= 0 && event.pointerType !== 'touch') showCrops({ class: shown[k] });
      })
      .on('keydown', (event) => {
        const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (step && shown.length) {
          event.preventDefault();
          go(Math.min(Math.max(state.at + step, 0), shown.length - 1), true);
        } else if (event.key === 'Enter' && shown[state.at] !== undefined) {
          showCrops({ class: shown[state.at] });
        }
      });
  }

  const plot = chart(
    `${AP_NAMES[state.kind]} of each class against its training images. `
    + 'Arrow keys go from class to class, Enter shows its crops.',
    HEIGHT, draw, { tabindex: 0, class: 'scatter' },
  );
  const status = el('span', { class: 'small', role: 'status' });
  const update = () => {
    state.at = -1;
    plot.redraw();
    const judged = ap[state.kind].filter(isNumber).length;
    const left = judged - ap[state.kind].filter((v, i) => isNumber(v) && isNumber(trained[i])).length;
    status.textContent = `${shown.length} of ${name.length} classes`
      + (judged < name.length ? `; ${name.length - judged} had nothing to find` : '')
      + (left ? `; ${left} without a known number of training images` : '');
  };
  const toggles = GROUPS.map((key) => el('label', { class: 'toggle' },
    el('input', {
      type: 'checkbox', checked: true,
      onchange: (event) => {
        if (event.target.checked) state.hidden.delete(key);
        else state.hidden.add(key);
        update();
      },
    }), chip(key, `${look(key).name} (${DATA.groups[key].images} images)`)));
  const picker = select(kinds.map((kind) => [kind, AP_NAMES[kind]]), (kind) => {
    state.kind = kind;
    update();
  });
  picker.value = state.kind;
  const controls = el('div', { class: 'controls' },
    labelled('Find', search('part of a class name', (text) => {
      state.text = text;
      update();
    })),
    kinds.length > 1 ? labelled('Show', picker) : null,
    ...toggles,
    against ? el('label', { class: 'toggle' }, el('input', {
      type: 'checkbox', checked: true,
      onchange: (event) => {
        state.arrows = event.target.checked;
        update();
      },
    }), 'arrows from the baseline') : null,
    status);
  const title = CLASSIFIER ? 'Accuracy against training images'
    : 'AP against training images';
  section('frequency', title, paragraph(
    'A mark is a class; lines are the means of the groups. Point at a mark for its numbers, '
    + 'click it for its crops.', 'small'), controls, plot);
  update();
}
