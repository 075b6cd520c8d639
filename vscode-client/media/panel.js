// Draws the list; asks the extension to insert. All text comes as text, but for documentation, which the
// extension has rendered from Markdown without HTML.
const editor = acquireVsCodeApi();
const list = document.getElementById('list');
const message = document.getElementById('message');
let drawn = '';

function element(name, className, text = '') {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function row(item, place, isOpen) {
  const line = document.createElement('li');
  const details = document.createElement('details');
  details.open = isOpen;
  details.dataset.name = item.name;
  const summary = document.createElement('summary');
  summary.append(element('span', 'name', item.name), element('span', 'why', item.why));
  const documentation = element('div', 'documentation');
  documentation.innerHTML = item.html;
  details.append(summary, documentation);
  const insert = element('button', '', 'Insert');
  insert.setAttribute('aria-label', `Insert ${item.name}`);
  insert.addEventListener('click', () => editor.postMessage({ insert: place }));
  line.append(details, insert);
  return line;
}

window.addEventListener('message', ({ data }) => {
  const wanted = JSON.stringify(data);
  if (wanted === drawn) return; // a list that is read must not jump
  drawn = wanted;
  message.textContent = data.message;
  const open = new Set([...list.querySelectorAll('details[open]')].map(details => details.dataset.name));
  list.replaceChildren(...data.items.map((item, place) => row(item, place, open.has(item.name))));
});

editor.postMessage({});
