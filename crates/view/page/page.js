'use strict';

// What is drawn comes as words and severities from /events; nothing is decided here but how old
// it has become meanwhile. Text goes in as text only.

const SIGNS = { good: '●', plain: '', unknown: '?', warn: '▲', bad: '✖' };
// A measurement comes every second: from here on it is old.
const OLD_AFTER_MS = 5000;
const AGAIN_AFTER_MS = 3000;
const LINES = 4;
const SVG = 'http://www.w3.org/2000/svg';

const at = (id) => document.getElementById(id);
let shown = null;
let cameAt = null;
let aliveAt = null;
let refused = '';

// Both clocks: one stands still while the machine sleeps, the other may be set.
function moment() {
  return { steady: performance.now(), wall: Date.now() };
}

function since(then) {
  return Math.max(performance.now() - then.steady, Date.now() - then.wall, 0);
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, severity) {
  if (element.className !== severity) element.className = severity;
}

function show(element, there) {
  element.hidden = !there;
}

function make(name, className) {
  const element = document.createElement(name);
  if (className) element.className = className;
  return element;
}

// Keeps the elements that are there, so that what somebody has selected stays selected.
function fill(parent, items, begin, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, index) => {
    if (index === parent.children.length) parent.append(begin());
    update(parent.children[index], item, index);
  });
}

// A sign and words in an element that has room for both.
function sayCell(element, cell) {
  if (!element.firstElementChild) {
    const sign = make('span', 'sign');
    sign.setAttribute('aria-hidden', 'true');
    element.replaceChildren(sign, make('span'));
  }
  mark(element, cell.severity);
  say(element.children[0], SIGNS[cell.severity] || '');
  say(element.children[1], cell.words);
}

function drawHead() {
  say(at('cluster'), shown.cluster);
  say(at('seen-by'), `as ${shown.node} sees it`);
  sayCell(at('headline'), shown.headline);
  say(at('h-node'), `This node: ${shown.node}`);
  fill(at('notices'), shown.notices, () => make('li'), sayCell);
  show(at('notices'), shown.notices.length > 0);
}

function drawFacts() {
  const facts = at('facts');
  while (facts.children.length > shown.facts.length * 2) facts.lastElementChild.remove();
  shown.facts.forEach((fact, index) => {
    if (facts.children.length === index * 2) {
      const value = make('dd');
      value.append(make('span'), make('small'));
      facts.append(make('dt'), value);
    }
    say(facts.children[index * 2], fact.label);
    const value = facts.children[index * 2 + 1];
    sayCell(value.children[0], fact);
    say(value.children[1], fact.note);
    show(value.children[1], fact.note !== '');
  });
}

// The roles say what a table is also where a narrow page lays it out in another way.
function row(labels) {
  return () => {
    const line = make('tr');
    line.setAttribute('role', 'row');
    labels.forEach((label, index) => {
      const cell = make(index === 0 ? 'th' : 'td');
      cell.setAttribute('role', index === 0 ? 'rowheader' : 'cell');
      if (index === 0) cell.scope = 'row';
      cell.dataset.label = label;
      cell.append(make('span'));
      line.append(cell);
    });
    return line;
  };
}

function sayInto(cell, text) {
  say(cell.firstElementChild, text);
  cell.classList.toggle('empty', text === '');
}

function drawNode(line, node) {
  const cells = line.children;
  if (!cells[0].children[1]) cells[0].append(make('small'));
  say(cells[0].children[0], node.node);
  const note = [node.own ? 'this node' : '', node.note].filter((text) => text !== '').join('; ');
  say(cells[0].children[1], note);
  const values = [node.role, node.backend, node.txid, node.lag, node.heard];
  values.forEach((cell, index) => sayCell(cells[index + 1].firstElementChild, cell));
}

function drawService(line, service) {
  const cells = line.children;
  sayInto(cells[0], service.service);
  sayInto(cells[1], service.node);
  sayInto(cells[2], service.endpoint);
  sayInto(cells[3], service.protocol);
  sayCell(cells[4].firstElementChild, service.health);
  sayInto(cells[5], service.tags);
}

function drawTables() {
  const nodes = row(['Node', 'Role', 'Backend', 'TXID', 'Lag', 'Heard']);
  fill(at('nodes'), shown.nodes, nodes, drawNode);
  const services = row(['Service', 'Node', 'Address', 'Protocol', 'Health', 'Tags']);
  fill(at('services'), shown.services.rows, services, drawService);
  show(at('services-table'), shown.services.rows.length > 0);
  say(at('services-notice'), shown.services.notice);
  show(at('services-notice'), shown.services.notice !== '');
}

function beginEvent() {
  const line = make('li');
  const when = make('div');
  when.append(make('time'), make('small'));
  const what = make('div');
  what.append(make('strong'), make('div'), make('small'));
  line.append(when, what);
  return line;
}

function drawEvents() {
  fill(at('events'), shown.events.rows, beginEvent, (line, event) => {
    const [when, what] = line.children;
    say(when.children[0], event.ago);
    say(when.children[1], event.at);
    sayCell(what.children[0], event.kind);
    say(what.children[1], event.words);
    say(what.children[2], event.node);
  });
  say(at('events-notice'), shown.events.notice);
  show(at('events-notice'), shown.events.notice !== '');
}

// The points between two holes, as coordinates of the drawing.
function runs(series, chart) {
  const all = [];
  let run = [];
  for (const [age, lag] of series.points) {
    if (lag === null) {
      if (run.length > 0) all.push(run);
      run = [];
      continue;
    }
    const x = 600 * (1 - age / chart.spanMs);
    const y = 118 - 116 * Math.min(lag / chart.topMs, 1);
    run.push(`${x.toFixed(1)},${y.toFixed(1)}`);
  }
  if (run.length > 0) all.push(run);
  // A single point is a dot: a line of no length with round ends.
  return all.map((points) => (points.length === 1 ? [points[0], points[0]] : points).join(' '));
}

function beginLegend() {
  const item = make('li');
  const sample = document.createElementNS(SVG, 'svg');
  sample.setAttribute('viewBox', '0 0 32 10');
  sample.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(SVG, 'line');
  for (const [name, value] of [['x1', 0], ['x2', 32], ['y1', 5], ['y2', 5]]) {
    line.setAttribute(name, value);
  }
  sample.append(line);
  item.append(sample, make('span'));
  return item;
}

function drawLag() {
  const { lag } = shown;
  const lines = lag.series.flatMap((series, index) =>
    runs(series, lag).map((points) => ({ points, line: index % LINES })));
  const begin = () => document.createElementNS(SVG, 'polyline');
  fill(at('lag'), lines, begin, (line, { points, line: number }) => {
    line.setAttribute('class', `line${number}`);
    line.setAttribute('points', points);
  });
  const last = lag.series.map((series) => `${series.node} ${series.last}`);
  const minutes = lag.spanMs / 60000;
  at('lag').setAttribute('aria-label', `Lag in the last ${minutes} min; now: ${last.join(', ')}`);
  say(at('lag-top'), lag.top);
  say(at('lag-from'), `${minutes} min ago`);
  fill(at('legend'), lag.series, beginLegend, (item, series, index) => {
    item.firstElementChild.firstElementChild.setAttribute('class', `line${index % LINES}`);
    say(item.lastElementChild, `${series.node}: ${series.last}`);
  });
}

function draw() {
  drawHead();
  drawFacts();
  drawTables();
  drawLag();
  drawEvents();
  show(at('measured'), true);
  document.title = `${SIGNS[shown.headline.severity]} ${shown.headline.words} · ${shown.cluster}`;
}

function tickLease(passed, old) {
  const { leftMs, ofMs, lowMs, words } = shown.lease;
  const known = leftMs !== null && !old;
  const left = known ? Math.max(leftMs - passed, 0) : 0;
  say(at('lease-left'), known ? `${(left / 1000).toFixed(1)} s` : 'unknown');
  say(at('lease-words'), known ? `${words}, of ${ofMs / 1000} s` : old ? '' : words);
  const bar = at('lease-bar');
  show(bar, known);
  bar.max = ofMs;
  bar.value = left;
  mark(bar, left < lowMs ? 'warn' : 'good');
}

function seconds(ms) {
  return `${Math.floor(ms / 1000)} s`;
}

// What the reader is told of the age of it all.
function tick() {
  if (refused) {
    mark(at('live'), 'warn');
    say(at('live'), refused);
  }
  if (!shown) return;
  const passed = since(cameAt);
  const age = shown.ageMs + passed;
  const old = age > OLD_AFTER_MS;
  tickLease(passed, old);
  document.body.classList.toggle('old', old);
  show(at('stale'), old);
  if (!old) {
    mark(at('live'), 'good');
    say(at('live'), `live, measured ${seconds(age)} ago`);
    return;
  }
  const answers = aliveAt && since(aliveAt) < 2 * OLD_AFTER_MS;
  const why = answers
    ? `${shown.node} answers, but has not finished measuring.`
    : refused || `No connection to ${shown.node}: it is tried again.`;
  mark(at('live'), 'bad');
  say(at('live'), answers ? 'waiting' : 'connection lost');
  say(at('stale-why'), `${why} What is below was so when it was measured; what is now is not known.`);
  say(at('stale-age'), `That was ${seconds(age)} ago.`);
  document.title = `? ${shown.node} is not heard of · ${shown.cluster}`;
}

function connect() {
  const source = new EventSource('events');
  source.addEventListener('shown', (event) => {
    shown = JSON.parse(event.data);
    cameAt = moment();
    aliveAt = cameAt;
    refused = '';
    draw();
    tick();
  });
  source.addEventListener('alive', () => {
    aliveAt = moment();
  });
  source.addEventListener('full', (event) => {
    refused = event.data;
    tick();
  });
  source.addEventListener('error', () => {
    // It connects again by itself, unless the answer was no stream at all.
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    setTimeout(connect, AGAIN_AFTER_MS);
  });
}

setInterval(tick, 250);
connect();
