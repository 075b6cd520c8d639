// A VS Code workbench with the packed extension, in a headless browser: starting, ending, and what a person does in it.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const HERE = import.meta.dirname;
const ENTRY = path.join(HERE, 'node_modules/code-server/out/node/entry.js');
export const ROOT = path.resolve(HERE, '../..');
export const DRAFT = 'apps/berth-planning/drafts/x_hbr_berth/sys_script/Assign berth on arrival.script.js';
const PORT = 8400 + (process.pid % 500);
const START_MS = 60_000; // a cold workbench on two busy cores
const QUIET = {
  'workbench.colorTheme': 'Default Dark Modern',
  'security.workspace.trust.enabled': false,
  'workbench.startupEditor': 'none',
  'workbench.enableExperiments': false,
  'telemetry.telemetryLevel': 'off',
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'update.mode': 'none',
  'chat.commandCenter.enabled': false,
  'files.autoSave': 'off', // what is tried here is not indexed meanwhile
  'git.enabled': false,
  'npm.fetchOnlinePackageInfo': false,
  'typescript.disableAutomaticTypeAcquisition': true,
  'javascript.validate.enable': false,
  'editor.wordBasedSuggestions': 'off',
  'editor.minimap.enabled': false,
};

/**
 * Opens the draft of a copy of the example application in a fresh workbench, below the folder `out`, and works in it.
 * `machine` are settings of the machine, `environment` variables of code-server and all that it starts.
 */
export async function inWorkbench(out, { vsix, browser: executable, machine, environment }, work) {
  const [home, shots, workspace] = ['home', 'screenshots', 'harbour'].map(name => path.resolve(out, name));
  fs.rmSync(out, { recursive: true, force: true });
  for (const folder of [home, shots]) fs.mkdirSync(folder, { recursive: true });
  fs.cpSync(path.join(ROOT, 'tests/data/example'), workspace, { recursive: true });
  writeSettings(home, machine);
  const own = { DEEPCODESEEK_CACHE_HOME: path.join(home, 'cache'), ...environment };
  const end = await startServer(home, path.resolve(vsix), PORT, own);
  const { browser, page, outside } = await openBrowser(executable);
  const bench = new Workbench(page, PORT, shots);
  try {
    await bench.open(workspace, DRAFT);
    bench.done('the workbench is open');
    await work(bench);
    if (outside.size) throw new Error(`hosts outside of this machine were asked for: ${[...outside].join(', ')}`);
  } catch (problem) {
    await bench.shot('failed');
    throw problem;
  } finally {
    await browser.close();
    end();
  }
}

/** Starts code-server with the extension in fresh folders below `home`; resolves to its port and an end. */
async function startServer(home, vsix, port, environment) {
  const config = path.join(home, 'config.yaml');
  fs.writeFileSync(config, 'auth: none\n');
  const own = { HOME: home, XDG_DATA_HOME: `${home}/xdg`, XDG_CONFIG_HOME: `${home}/config`, XDG_CACHE_HOME: `${home}/cache` };
  // No gallery: nothing is looked for outside of this machine.
  const gallery = JSON.stringify({ serviceUrl: 'http://127.0.0.1:9/none', itemUrl: '', resourceUrlTemplate: '' });
  const env = { ...process.env, ...own, ...environment, EXTENSIONS_GALLERY: gallery };
  const args = [ENTRY, '--config', config, '--user-data-dir', `${home}/data`, '--extensions-dir', `${home}/extensions`];
  const installed = spawnSync('node', [...args, '--install-extension', vsix], { env, encoding: 'utf8' });
  if (installed.status !== 0) throw new Error(`the extension was not installed: ${installed.stdout}${installed.stderr}`);
  const flags = ['--auth', 'none', '--bind-addr', `127.0.0.1:${port}`, '--disable-telemetry', '--disable-update-check'];
  const log = fs.openSync(`${home}/server.log`, 'w');
  const child = spawn('node', [...args, ...flags, '--disable-workspace-trust'], { env, stdio: ['ignore', log, log], detached: true });
  await until(() => fetch(`http://127.0.0.1:${port}/healthz`).then(answer => answer.ok, () => false), START_MS, 'code-server');
  return () => process.kill(-child.pid, 'SIGTERM'); // with the extension host and the language server below it
}

/** Settings of the user, and of the machine: a browser's workbench takes those of scope machine only from there. */
function writeSettings(home, machine) {
  for (const [folder, settings] of [['User', QUIET], ['Machine', machine]]) {
    fs.mkdirSync(`${home}/data/${folder}`, { recursive: true });
    fs.writeFileSync(`${home}/data/${folder}/settings.json`, JSON.stringify(settings));
  }
}

/** A page that can reach this machine alone; hosts it asked for besides are remembered. */
async function openBrowser(executablePath) {
  const rules = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1';
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', rules];
  const browser = await chromium.launch({ executablePath, headless: true, args });
  const page = await browser.newPage({ viewport: { width: 1200, height: 680 } });
  const outside = new Set();
  page.on('request', request => {
    const { protocol, hostname } = new URL(request.url());
    // Files of a webview have this name in the browser; a service worker fetches them from the extension host.
    const isInside = ['127.0.0.1', 'localhost'].includes(hostname) || hostname.endsWith('.vscode-resource.vscode-cdn.net');
    if (protocol.startsWith('http') && !isInside) outside.add(hostname);
  });
  return { browser, page, outside };
}

/** What a person does in the workbench. */
class Workbench {
  constructor(page, port, shots) {
    Object.assign(this, { page, port, shots, started: Date.now() });
  }

  /** Says what has been done, and when. */
  done(what) {
    console.log(`${((Date.now() - this.started) / 1000).toFixed(1).padStart(6)} s  ${what}`);
  }

  async open(folder, file) {
    const opened = JSON.stringify([['openFile', `vscode-remote://127.0.0.1:${this.port}${folder}/${file}`]]);
    const query = new URLSearchParams({ folder, payload: opened });
    await this.page.goto(`http://127.0.0.1:${this.port}/?${query}`);
    await this.page.waitForSelector('.editor-instance .monaco-editor .view-lines', { timeout: START_MS });
  }

  async command(title) {
    await this.page.keyboard.press('F1');
    await this.page.locator('.quick-input-widget input').first().fill(`>${title}`);
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first().click();
  }

  async theme(name) {
    await this.command('Preferences: Color Theme');
    await this.page.locator('.quick-input-widget input').first().fill(name);
    await this.page.locator('.quick-input-list .monaco-list-row.focused', { hasText: name }).first().waitFor();
    await this.page.keyboard.press('Enter');
  }

  async goTo(line, column) {
    await this.page.keyboard.press('Control+g');
    await this.page.locator('.quick-input-widget input').first().fill(`:${line}:${column}`);
    await this.page.keyboard.press('Enter');
  }

  /** Every label of the status bar item, in order, until one of these stands there. */
  async states(last, milliseconds) {
    const seen = [];
    const item = this.page.locator('.statusbar-item', { hasText: 'DeepCodeSeek' }).first();
    await until(
      async () => {
        const label = (await item.getAttribute('aria-label', { timeout: START_MS })) ?? '';
        if (label !== seen.at(-1)) seen.push(label);
        return last.test(label);
      },
      milliseconds,
      () => `${last} after ${seen.join(' | ')}`,
    );
    return seen;
  }

  /** The labels of the suggestion list, once it holds the one wanted. */
  async suggestions(wanted) {
    const rows = this.page.locator('.suggest-widget.visible .monaco-list-row');
    for (let attempt = 0; attempt < 4; attempt++) {
      const isThere = await rows.filter({ hasText: wanted }).first().waitFor({ timeout: 10_000 }).then(() => true, () => false);
      if (isThere) return rows.evaluateAll(all => all.map(row => row.querySelector('.label-name').textContent));
      await this.page.keyboard.press('Escape');
      await this.page.keyboard.press('Control+Space');
    }
    throw new Error(`no suggestion ${wanted}`);
  }

  /** Shows the documentation beside the suggestion list; while the list is renewed the key does nothing. */
  async documentation(wanted) {
    const details = this.page.locator('.suggest-details', { hasText: wanted });
    for (let attempt = 0; attempt < 4; attempt++) {
      await this.page.waitForTimeout(1000);
      await this.page.keyboard.press('Control+Space');
      if (await details.waitFor({ timeout: 4000 }).then(() => true, () => false)) return;
    }
    throw new Error(`no documentation with ${wanted}`);
  }

  /** Resolves once a line of the editor holds the text. */
  async line(text) {
    const holds = wanted => [...document.querySelectorAll('.view-line')].some(line => line.textContent.replace(/\u00a0/g, ' ').includes(wanted));
    await this.page.waitForFunction(holds, text, { timeout: 10_000 });
  }

  /** The frame of our view, which lies in two others. */
  async panel() {
    const find = () => Promise.all(this.page.frames().map(frame => frame.locator('#list').count().catch(() => 0)));
    await until(async () => (await find()).some(count => count > 0), START_MS, 'the view');
    const counts = await find();
    return this.page.frames()[counts.findIndex(count => count > 0)];
  }

  async shot(name) {
    await this.page.mouse.move(560, 640); // over nothing that would say something
    await this.page.waitForTimeout(500);
    await this.page.screenshot({ path: path.join(this.shots, `${name}.png`) });
  }
}

/** Waits until something is so; fails with what it waited for. */
export async function until(isSo, milliseconds, what) {
  const end = Date.now() + milliseconds;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`waited ${milliseconds / 1000} s for ${typeof what === 'function' ? what() : what}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}
