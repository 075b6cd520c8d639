// The packed extension, the real server and the example application in a VS Code workbench, as a new user meets them:
// the first index, a suggestion accepted, a hover, the view, the doctor. Run by `make e2e`.
//
// node run.mjs PYTHON VSIX OUT [CHROMIUM]
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { inWorkbench, until } from './workbench.mjs';

const [python, vsix, out, browser = '/usr/bin/chromium'] = process.argv.slice(2);
const [LINE, COLUMN] = [15, 5]; // where the next statement belongs
const THEMES = ['Light Modern', 'Dark High Contrast', 'Light High Contrast', 'Dark Modern'];
const INDEXING_MS = 180_000;

async function firstIndex(bench) {
  const seen = await bench.states(/indexing, [\w ]+ \d+ of \d+/, INDEXING_MS);
  await bench.shot('1-indexing');
  const states = [...seen, ...(await bench.states(/, (ready|lite)$/, INDEXING_MS))];
  assert(states.some(label => /indexing, [\w ]+ \d+ of \d+$/.test(label)), states.join(' | '));
  bench.done(`indexed; the status bar said: ${[...new Set(states)].map(label => label.replace('DeepCodeSeek, ', '')).join(', ')}`);
}

async function complete(bench) {
  await bench.page.keyboard.press('Control+b'); // no side bar: room for the documentation
  await bench.goTo(LINE, COLUMN);
  await bench.page.keyboard.type('var allocator = new ', { delay: 40 });
  const offered = await bench.suggestions('BerthAllocator');
  assert(offered.slice(0, 3).includes('BerthAllocator'), offered.join(', '));
  bench.done(`offered after new: ${offered.slice(0, 5).join(', ')}`);
  await bench.documentation('findFree');
  await bench.shot('2-completion');
  await bench.page.keyboard.type('Ber', { delay: 40 });
  await bench.page.waitForTimeout(1000); // for the list that follows
  await bench.page.keyboard.press('Enter');
  await bench.line('var allocator = new BerthAllocator');
  bench.done('accepted');
}

async function hover(bench) {
  await bench.page.keyboard.press('Escape');
  await bench.goTo(LINE, COLUMN + 'var allocator = new Ber'.length);
  await bench.command('Show or Focus Hover');
  await bench.page.locator('.monaco-hover', { hasText: 'findFree' }).first().waitFor({ timeout: 15_000 });
  await bench.shot('3-hover');
  await bench.page.keyboard.press('Escape');
  bench.done('hovered');
}

async function usePanel(bench) {
  await bench.goTo(LINE, COLUMN);
  await bench.page.keyboard.press('Control+Shift+k'); // the line is open again
  await bench.page.keyboard.press('Control+Shift+Enter');
  await bench.command('DeepCodeSeek: Show Predicted APIs');
  const panel = await bench.panel();
  await panel.locator('li').first().waitFor({ timeout: 30_000 });
  const names = await panel.locator('.name').allInnerTexts();
  assert(names.slice(0, 3).includes('BerthAllocator'), names.join(', '));
  await bench.shot('4-list');
  await panel.locator('summary', { hasText: 'BerthAllocator' }).focus();
  await bench.page.keyboard.press('Enter');
  await panel.locator('.documentation', { hasText: 'findFree' }).first().waitFor({ timeout: 5000 });
  await bench.shot('4-panel');
  bench.done(`the view lists: ${names.slice(0, 5).join(', ')}`);
  return panel;
}

async function checkAccessibility(bench, panel) {
  const axe = fs.readFileSync(path.join(import.meta.dirname, 'node_modules/axe-core/axe.min.js'), 'utf8');
  for (const theme of THEMES) {
    await bench.theme(theme);
    const wanted = { contrast: theme.includes('High Contrast'), light: theme.includes('Light') };
    const isShown = ({ contrast, light }) => {
      const kind = document.body.dataset.vscodeThemeKind;
      return kind.includes('high-contrast') === contrast && kind.includes('light') === light;
    };
    await until(() => panel.evaluate(isShown, wanted), 15_000, `the theme ${theme}`);
    await bench.page.waitForTimeout(300); // colours fade
    await panel.evaluate(axe);
    const { violations } = await panel.evaluate(() => window.axe.run(document));
    await bench.shot(`5-panel-${theme.replaceAll(' ', '-').toLowerCase()}`);
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} (${nodes[0].failureSummary})`);
    assert.deepEqual(found, [], theme);
  }
  bench.done(`axe: no violations in ${THEMES.length} themes`);
}

async function insertByKeyboard(bench, panel) {
  await panel.locator('summary', { hasText: 'BerthAllocator' }).focus();
  const place = () => panel.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? '');
  for (let step = 0; step < 20 && (await place()) !== 'Insert BerthAllocator'; step++) await bench.page.keyboard.press('Tab');
  await bench.page.keyboard.press('Enter');
  await bench.line('BerthAllocator');
  bench.done('inserted from the view, by keyboard');
}

async function consultDoctor(bench) {
  await bench.command('DeepCodeSeek: Doctor');
  const output = bench.page.locator('.editor-instance .view-lines', { hasText: 'silent:' });
  await output.waitFor({ timeout: 120_000 });
  await bench.page.waitForTimeout(1000);
  await bench.shot('6-doctor');
  bench.done('consulted the doctor');
}

async function useMenu(bench) {
  await bench.page.locator('.statusbar-item', { hasText: 'DeepCodeSeek' }).first().click();
  await bench.page.locator('.quick-input-list .monaco-list-row', { hasText: 'Pause' }).first().waitFor();
  await bench.shot('7-menu');
  await bench.page.keyboard.press('Escape');
  for (const [title, state] of [
    ['Pause or Resume', /, paused$/],
    ['Pause or Resume', /, ready$/],
    ['Switch between Full and Lite Mode', /, lite$/],
    ['Switch between Full and Lite Mode', /, ready$/],
    ['Rebuild the Index', /, indexing \d+ of \d+$/],
  ]) {
    await bench.command(`DeepCodeSeek: ${title}`);
    await bench.states(state, 60_000);
  }
  await bench.states(/, ready$/, 60_000);
  bench.done('paused, resumed, switched to lite mode and back, rebuilt the index');
}

async function measure(bench) {
  await bench.command('DeepCodeSeek: Measure on this Workspace');
  await bench.page.locator('.editor-instance .view-lines', { hasText: 'top-40' }).waitFor({ timeout: 180_000 });
  await bench.page.waitForTimeout(500);
  await bench.shot('8-measure');
  bench.done('measured on the workspace');
}

const models = process.env.DEEPCODESEEK_DATA_HOME ?? path.join(process.env.HOME, '.local/share/deepcodeseek');
const options = {
  vsix,
  browser,
  machine: { 'deepcodeseek.pythonPath': path.resolve(python) },
  environment: { DEEPCODESEEK_DATA_HOME: models },
};
await inWorkbench(out, options, async bench => {
  const errors = bench.page.locator('.notification-list-item:has(.codicon-error)');
  const see = async (work, ...given) => {
    const seen = await work(bench, ...given);
    assert.deepEqual(await errors.allInnerTexts(), [], `after ${work.name}`);
    return seen;
  };
  await see(firstIndex);
  await see(complete);
  await see(hover);
  const panel = await see(usePanel);
  await see(checkAccessibility, panel);
  await see(insertByKeyboard, panel);
  await see(consultDoctor);
  await see(useMenu);
  await see(measure);
});
