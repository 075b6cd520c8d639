// The extension without VS Code: the editor and the language client are played by what stands here, a Python by a script.
// Run by test_vscode_client.py.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';

const CLIENT = path.resolve(import.meta.dirname, '../vscode-client');
const requireThere = createRequire(path.join(CLIENT, 'package.json'));
const { build } = requireThere('esbuild');
const State = { Stopped: 1, Starting: 3, Running: 2 };

const bundle = await build({
  stdin: { contents: "export * from './extension'; export * from './launcher';", resolveDir: path.join(CLIENT, 'src'), loader: 'ts' },
  external: ['vscode', 'vscode-languageclient/node'],
  bundle: true,
  write: false,
  platform: 'node',
  format: 'cjs',
});

/** As that of vscode-languageclient 9 is: it refuses to stop unless it runs, and restarts by itself. */
class LanguageClient {
  static all = [];
  static mayRun = Promise.resolve();
  static answers = {};
  static running = () => LanguageClient.all.filter(client => client.state === State.Running);

  state = State.Stopped;
  features = [];
  listeners = [];
  protocol2CodeConverter = { asRange: range => range, asTextEdits: async edits => edits };
  code2ProtocolConverter = { asTextDocumentPositionParams: () => ({}) };

  constructor() {
    LanguageClient.all.push(this);
  }

  enter(newState) {
    this.state = newState;
    for (const listener of this.listeners) listener({ newState });
  }

  onDidChangeState(listener) {
    this.listeners.push(listener);
  }

  registerProposedFeatures() {
    if (this.state === State.Stopped) this.features.push('inlineCompletion'); // later it is too late
  }

  start() {
    this.starting ??= this.#start();
    return this.starting;
  }

  async #start() {
    this.enter(State.Starting);
    await LanguageClient.mayRun;
    this.enter(State.Running);
  }

  async dispose() {
    if (this.state !== State.Running) throw new Error("Client is not running and can't be stopped.");
    this.enter(State.Stopped);
  }

  async sendRequest(method, params) {
    if (this.state !== State.Running) throw new Error('Client is not running');
    return LanguageClient.answers[method.method ?? method](params);
  }
}

const status = more => ({
  state: 'ready',
  settings: { lite: true },
  index: { directory: '/indexes/of-the-last-completion' },
  folders: [],
  models: [],
  ...more,
});

let home, python, settings, folders, editor, did, item, handlers, loaded;
const registered = name => handler => ((handlers[name] = handler), { dispose() {} });
const label = () => item.accessibilityInformation.label.replace('DeepCodeSeek, ', '');
const command = name => handlers[`deepcodeseek.${name}`]();
const toolRuns = () => readFileSync(path.join(home, 'runs'), 'utf8').trim().split('\n');

async function eventually(isSo, what) {
  for (let tried = 0; tried < 500; tried++) {
    if (isSo()) return;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  assert.fail(`it never came to be: ${what ?? isSo}; the status bar says ${label()}`);
}

/** An executable that answers as a Python does, with DeepCodeSeek or without. */
function makePython(name, hasServer = true) {
  const file = path.join(home, name);
  mkdirSync(path.dirname(file), { recursive: true });
  const probe = hasServer ? `printf '0.1.0\\n${file}\\n'` : 'exit 1';
  const tool = `printf '{"task":"index","done":1,"total":2}\\n'; echo "$@" >> '${home}/runs'; sleep 0.1`;
  const cases = `*deepcodeseek.server*) ${probe};; *version_info*) printf 'True\\n${file}\\n';; *) ${tool};;`;
  writeFileSync(file, `#!/bin/sh\ncase "$*" in ${cases} esac\n`);
  chmodSync(file, 0o755);
  return file;
}

const uriOf = fsPath => ({ scheme: 'file', path: fsPath, fsPath, toString: () => `file://${fsPath}` });

function playedEditor() {
  const configuration = { get: (name, otherwise) => settings[name] ?? otherwise, inspect: () => ({}) };
  const nothing = () => ({ dispose() {} });
  return {
    CancellationError: class extends Error {},
    CancellationTokenSource: class {
      token = { isCancellationRequested: false };
      cancel() {
        this.token.isCancellationRequested = true;
      }
    },
    EventEmitter: class {
      fire() {}
    },
    ProgressLocation: {},
    SnippetString: class {
      value = '';
    },
    StatusBarAlignment: {},
    ThemeColor: class {},
    Uri: { joinPath: (base, ...parts) => uriOf(path.join(base.fsPath, ...parts)) },
    WorkspaceEdit: class {
      set(_uri, edits) {
        this.edits = edits;
      }
    },
    commands: { registerCommand: (name, work) => registered(name)(work) },
    extensions: { getExtension: () => undefined },
    window: {
      createOutputChannel: () => ({ appendLine() {}, show() {} }),
      createStatusBarItem: () => (item = { show() {} }),
      onDidChangeActiveTextEditor: nothing,
      onDidChangeTextEditorSelection: nothing,
      registerWebviewViewProvider: (_id, panel) => registered('panel')(panel),
      showErrorMessage: async message => void did.push(message),
      showInformationMessage: async (_message, ...choices) => void did.push(choices.join()),
      showTextDocument: async () => ({ insertSnippet: async snippet => did.push(snippet.value) > 0 }),
      showWorkspaceFolderPick: async () => folders.at(-1),
      withProgress: (_options, work) => work({ report() {} }, { onCancellationRequested: nothing }),
      get activeTextEditor() {
        return editor;
      },
    },
    workspace: {
      applyEdit: async edit => void did.push(edit.edits[0].newText),
      getConfiguration: () => configuration,
      getWorkspaceFolder: uri => folders.find(folder => uri.fsPath.startsWith(folder.uri.fsPath)),
      onDidChangeConfiguration: registered('settings'),
      onDidGrantWorkspaceTrust: registered('trust'),
      registerTextDocumentContentProvider: nothing,
      get workspaceFolders() {
        return folders;
      },
    },
  };
}

function load() {
  const client = { LanguageClient, State, CompletionResolveRequest: { type: { method: 'resolve' } }, InsertTextFormat: { Snippet: 2 } };
  const played = { vscode: playedEditor(), 'vscode-languageclient/node': client };
  const module = { exports: {} };
  const code = new Function('module', 'exports', 'require', bundle.outputFiles[0].text);
  code(module, module.exports, name => played[name] ?? requireThere(name));
  return module.exports;
}

function activate() {
  const packageJSON = JSON.parse(readFileSync(path.join(CLIENT, 'package.json'), 'utf8'));
  const context = { extension: { packageJSON }, extensionUri: uriOf(CLIENT), globalStorageUri: uriOf(home), subscriptions: [] };
  loaded.activate(context);
}

async function ready() {
  activate();
  await eventually(() => label() === 'lite', 'it is ready');
}

const changePython = to => {
  settings.pythonPath = to;
  handlers.settings({ affectsConfiguration: name => name === 'deepcodeseek.pythonPath' });
};

beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'deepcodeseek-client-'));
  python = makePython('python');
  [settings, folders, editor, did, handlers] = [{ pythonPath: python }, [{ uri: uriOf('/code/harbour') }], undefined, [], {}];
  LanguageClient.all = [];
  LanguageClient.mayRun = Promise.resolve();
  LanguageClient.answers = { 'workspace/executeCommand': () => status() };
  loaded = load();
});

afterEach(async () => {
  await loaded.deactivate();
  rmSync(home, { recursive: true, force: true });
});

test('inline completion is there from the start', async () => {
  await ready();
  assert.deepEqual(LanguageClient.all[0].features, ['inlineCompletion']);
});

for (const moment of ['is looked for', 'starts']) {
  test(`a pause while the server ${moment} ends it, and it resumes once`, async () => {
    let go = () => {};
    LanguageClient.mayRun = new Promise(resolve => (go = resolve));
    activate();
    if (moment === 'starts') await eventually(() => LanguageClient.all.length === 1);
    const paused = command('pause');
    setTimeout(go, 50);
    await paused;
    await new Promise(resolve => setTimeout(resolve, 300));
    assert.deepEqual([label(), LanguageClient.running().length], ['paused', 0]);
    await command('pause');
    await eventually(() => label() === 'lite');
    assert.equal(LanguageClient.running().length, 1);
  });
}

test('of two starts at once one server is left', async () => {
  await ready();
  let go = () => {};
  LanguageClient.mayRun = new Promise(resolve => (go = resolve));
  changePython(makePython('other'));
  await eventually(() => LanguageClient.all.length === 2);
  changePython(python);
  setTimeout(go, 50);
  await eventually(() => LanguageClient.all.length === 3);
  await new Promise(resolve => setTimeout(resolve, 100));
  assert.deepEqual(LanguageClient.running(), [LanguageClient.all[2]]);
});

test('trust that is granted in a pause starts nothing', async () => {
  await ready();
  await command('pause');
  handlers.trust();
  await new Promise(resolve => setTimeout(resolve, 300));
  assert.deepEqual([label(), LanguageClient.running().length], ['paused', 0]);
});

test('a start that ends without progress is noticed', async () => {
  const states = ['starting', 'starting', 'no workspace'];
  LanguageClient.answers['workspace/executeCommand'] = () => status({ state: states.length > 1 ? states.shift() : states[0] });
  activate();
  await eventually(() => label() === 'no folder is open');
});

test('a server that has died too often is no longer shown as ready', async () => {
  await ready();
  const [client] = LanguageClient.all;
  client.enter(State.Stopped); // and at once again, as the client does it
  client.enter(State.Starting);
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal(label(), 'starting');
  client.enter(State.Running);
  await eventually(() => label() === 'lite');
  client.enter(State.Stopped);
  await eventually(() => label() === 'the server ended');
});

test('where the settings name a wrong Python no server goes on, and installing is offered', async () => {
  await ready();
  changePython(makePython('without', false));
  await eventually(() => label() === 'not installed');
  assert.equal(LanguageClient.running().length, 0);
  assert.deepEqual(did, ['Install,Open Settings,Show Log']);
});

test('in a pause the index is built where the settings say, and the pause goes on', async () => {
  settings.indexDirectory = '/indexes/configured';
  settings.modelsDirectory = '~/models';
  await ready();
  await command('pause');
  const rebuilt = command('rebuild');
  await eventually(() => label() === 'indexing 1 of 2');
  await rebuilt;
  assert.equal(label(), 'paused');
  assert.match(toolRuns()[0], / index \/code\/harbour --out \/indexes\/configured --models \/.*[^~]\/models --progress/);
  await command('pause');
  assert.equal(LanguageClient.running().length, 1);
});

test('of two folders only the server knows which one has the place that the settings say', async () => {
  folders.push({ uri: uriOf('/code/airport') });
  settings.indexDirectory = '/indexes/configured';
  await ready();
  await command('pause');
  await command('rebuild');
  assert.throws(toolRuns); // nothing has run
  assert.match(did.join(), /start the server first/);
});

for (const [where, folder] of [['/code/harbour/a.js', 'harbour'], ['/elsewhere/a.js', 'airport'], [undefined, 'airport']]) {
  test(`of two folders the one of the editor, or the chosen one, with its own index: ${where}`, async () => {
    folders.push({ uri: uriOf('/code/airport') });
    const known = ['harbour', 'airport'].map(name => ({ folder: `/code/${name}`, directory: `/indexes/${name}` }));
    LanguageClient.answers['workspace/executeCommand'] = () => status({ folders: known });
    editor = where && { document: { uri: uriOf(where) } };
    await ready();
    await command('rebuild');
    await command('doctor');
    await command('measure');
    const [rebuild, doctor, mine, run] = toolRuns();
    assert.match(rebuild, new RegExp(` index /code/${folder} --out /indexes/${folder} `));
    assert.match(doctor, new RegExp(` doctor /code/${folder} --index /indexes/${folder}$`));
    assert.match(mine, new RegExp(` eval mine /code/${folder} `));
    assert.match(run, new RegExp(` eval run --index /indexes/${folder} `));
  });
}

test('what the view inserts brings its import, after itself', async () => {
  const place = { start: { line: 4, character: 0 }, end: { line: 4, character: 0 } };
  const offered = { label: 'dredge', insertTextFormat: 2, textEdit: { range: place, newText: 'dredge($1)' } };
  offered.additionalTextEdits = [{ range: place, newText: "import { dredge } from './dredge';" }];
  Object.assign(LanguageClient.answers, { 'textDocument/completion': () => ({ items: [offered] }), resolve: given => given });
  const document = { uri: uriOf('/code/harbour/a.js'), languageId: 'javascript', version: 1, isClosed: false };
  editor = { document, selection: { active: {} } };
  await ready();
  let tell, shown;
  const webview = { asWebviewUri: uri => uri, onDidReceiveMessage: listener => (tell = listener), postMessage: message => (shown = message) };
  handlers.panel.resolveWebviewView({ webview, visible: true, onDidChangeVisibility() {}, onDidDispose() {} });
  tell({});
  await eventually(() => shown?.items.length === 1);
  tell({ insert: 0 });
  await eventually(() => did.length === 2);
  assert.deepEqual(did, ['dredge($1)', "import { dredge } from './dredge';"]);
});

test('an environment is made with the Python that the settings name', async () => {
  settings.pythonPath = makePython('named', false);
  assert.equal(await loaded.findPython(), settings.pythonPath);
});

test('where the Python that the settings name has no server, the one that was installed is used', async () => {
  settings.pythonPath = makePython('named', false);
  const own = makePython('venv/bin/python');
  assert(existsSync(own));
  const found = await loaded.findLauncher(path.join(home, 'venv'), { appendLine() {} });
  assert.equal(found?.server[0], own);
});
