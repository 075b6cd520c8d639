/** The language server's life: starting, stopping, what it says of itself. */
import * as os from 'node:os';
import * as vscode from 'vscode';
import { LanguageClient, State as ClientState, type WorkDoneProgressBegin, type WorkDoneProgressReport } from 'vscode-languageclient/node';
import type { Launcher } from './launcher';
import type { Status } from './status';

export const LANGUAGES = ['javascript', 'javascriptreact', 'typescript', 'typescriptreact'];
/** Settings that the server does not know; of all others it asks by itself, and again when they change. */
export const OWN_SETTINGS = ['pythonPath', 'installFrom'];

/** What the command `deepcodeseek.status` of the server answers, as far as it is used here. */
interface ServerStatus {
  state: string;
  settings: { lite: boolean };
  index: { counts?: Record<string, number> };
  folders: { folder: string; directory: string }[];
  models: { kind: string; name: string; state: string }[];
}

const START_MS = 60_000; // a cold disk, busy cores
const STOP_MS = 5000;
const ASK_AGAIN_MS = 500;
const ASKED_AGAIN = 20; // times

/** The client of one server process. */
export class Server {
  private client?: LanguageClient;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly properties: Record<string, unknown>,
    private readonly log: vscode.OutputChannel,
    private readonly status: Status,
    private readonly whenReady: () => void,
  ) {}

  get running(): LanguageClient | undefined {
    return this.client?.state === ClientState.Running ? this.client : undefined;
  }

  /** Starts what is found, in place of what runs; where nothing is found, nothing runs any more. */
  start(find: () => Promise<Launcher | undefined>): Promise<Launcher | undefined> {
    return this.inTurn(async () => {
      const launcher = await find(); // the old one answers meanwhile
      await this.end();
      if (launcher) await this.launch(launcher);
      return launcher;
    });
  }

  stop(): Promise<void> {
    return this.inTurn(() => this.end());
  }

  /** One after the other: of two that start at once, one would be forgotten and go on. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  private async launch(launcher: Launcher): Promise<void> {
    const [command = '', ...args] = launcher.server;
    // Its own folder: nothing of a workspace is found before what is installed.
    const executable = { command, args, options: { cwd: os.homedir() } };
    const client = new LanguageClient('deepcodeseek', 'DeepCodeSeek', executable, {
      documentSelector: LANGUAGES.map(language => ({ scheme: 'file', language })),
      initializationOptions: () => this.options(),
      outputChannel: this.log,
      middleware: { handleWorkDoneProgress: (token, params, next) => this.onProgress(params, () => next(token, params)) },
    });
    client.registerProposedFeatures(); // inline completion is one of them in this version
    client.onDidChangeState(({ newState }) => this.onState(client, newState));
    this.client = client;
    await within(START_MS, client.start());
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    // While it starts it cannot be stopped. The client also starts by itself a server that has died.
    if (client?.state === ClientState.Starting) await within(STOP_MS, client.start()).catch(() => undefined);
    await client?.dispose(STOP_MS).catch(() => undefined); // a server that never came up cannot be asked to end
  }

  /** The status that a bug report needs, or nothing where no server runs. */
  async ask(): Promise<ServerStatus | undefined> {
    return this.running?.sendRequest('workspace/executeCommand', { command: 'deepcodeseek.status', arguments: [] });
  }

  /** Asks the server how it is, and shows it; again while it starts: not every start ends with progress. */
  async refresh(again = ASKED_AGAIN): Promise<void> {
    const client = this.client;
    try {
      const status = await this.ask();
      if (!status || this.client !== client) return;
      this.show(status);
      if (status.state === 'starting' && again > 0) setTimeout(() => void this.refresh(again - 1), ASK_AGAIN_MS);
    } catch (reason) {
      this.log.appendLine(`The server did not say how it is: ${String(reason)}`); // it may have ended meanwhile
    }
  }

  private show(status: ServerStatus): void {
    const isFull = !status.settings.lite && status.models.some(model => model.kind === 'generator');
    const apis = status.index.counts?.apis;
    const detail = apis === undefined ? '' : `${apis.toLocaleString()} APIs indexed`;
    if (status.state === 'ready') {
      this.status.show(isFull ? 'ready' : 'lite', isFull ? 'ready' : 'lite', detail);
      this.whenReady();
    } else if (status.state === 'starting' || status.state === 'indexing') {
      if (this.status.state !== status.state) this.status.show(status.state); // else progress has said more
    } else {
      this.status.show('error', status.state === 'no workspace' ? 'no folder is open' : 'no answers', status.state);
    }
  }

  private onState(client: LanguageClient, state: ClientState): void {
    if (this.client !== client) return;
    if (state === ClientState.Running) void this.refresh();
    else if (state === ClientState.Starting) this.status.show('starting');
    else setTimeout(() => this.noteEnd(client)); // it stops for a moment also where it starts anew
  }

  private noteEnd(client: LanguageClient): void {
    const isOver = this.client === client && client.state === ClientState.Stopped;
    if (!isOver || this.status.state === 'error') return; // why it did not start is said already
    this.status.show('error', 'the server ended', 'It ended too often to be started again: Pause, then Resume.');
  }

  /** Those that differ from their defaults: an older server does not know each of them. */
  private options(): Record<string, unknown> {
    const settings = vscode.workspace.getConfiguration('deepcodeseek');
    const names = Object.keys(this.properties).map(name => name.replace('deepcodeseek.', ''));
    const changed = names.filter(name => !OWN_SETTINGS.includes(name) && settings.get(name) !== settings.inspect(name)?.defaultValue);
    return Object.fromEntries(changed.map(name => [name, settings.get(name)]));
  }

  /** Progress stands in our own item; of the client's only its end is of use. */
  private onProgress(params: WorkDoneProgressBegin | WorkDoneProgressReport | { kind: 'end' }, next: () => void): void {
    if (params.kind === 'end') {
      next();
      void this.refresh();
    } else if (this.status.state !== 'ready' && this.status.state !== 'lite') {
      const isLoading = params.kind === 'begin' && params.message?.startsWith('loading');
      const step = params.kind === 'report' ? `, ${params.message}` : '';
      this.status.show(isLoading ? 'starting' : 'indexing', isLoading ? 'loading' : `indexing${step}`);
    }
  }
}

/** A server that never answers holds up nothing else. */
function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the server did not answer in ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
