// The first start of the extension where no server is: it offers to install one, from a bundle's wheels, without network;
// then the index is built and the list is there. Run by `make e2e-install`.
//
// node first_start.mjs WHEELS VSIX OUT [CHROMIUM]
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { inWorkbench } from './workbench.mjs';

const [wheels, vsix, out, browser = '/usr/bin/chromium'] = process.argv.slice(2);
const [LINE, COLUMN] = [15, 5]; // where the next statement belongs
const INSTALL_MS = 300_000;

const options = {
  vsix,
  browser,
  machine: { 'deepcodeseek.installFrom': path.resolve(wheels) },
  environment: { DEEPCODESEEK_DATA_HOME: path.resolve(out, 'home/data-home') },
};
await inWorkbench(out, options, async bench => {
  await bench.states(/, not installed$/, 60_000);
  const offer = bench.page.locator('.notification-toast', { hasText: 'server is not installed' });
  await offer.waitFor();
  await bench.shot('1-offer');
  await offer.getByRole('button', { name: 'Install' }).click();
  await bench.page.locator('.notification-toast', { hasText: 'installing' }).first().waitFor({ timeout: 60_000 });
  await bench.shot('2-installing');
  await bench.states(/, indexing/, INSTALL_MS);
  bench.done('installed');
  await bench.states(/, ready$/, INSTALL_MS);
  bench.done('indexed');
  await bench.goTo(LINE, COLUMN);
  await bench.page.keyboard.type('var allocator = new ', { delay: 40 });
  const offered = await bench.suggestions('BerthAllocator');
  assert(offered.slice(0, 3).includes('BerthAllocator'), offered.join(', '));
  await bench.shot('3-completion');
  bench.done(`offered after new: ${offered.slice(0, 5).join(', ')}`);
  await bench.command('DeepCodeSeek: Remove the Server');
  await bench.page.locator('.monaco-dialog-box').getByRole('button', { name: 'Remove' }).click();
  await bench.states(/, not installed$/, 60_000);
  const storage = path.resolve(out, 'home/data/User/globalStorage/deepcodeseek.deepcodeseek/venv');
  assert(!fs.existsSync(storage), storage);
  bench.done('removed');
});
