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
  index: { directory: string; counts?: Record<string, number> };
  models: { kind: string; name: string; state: string }[];
}

/** The client of one server process. */
export class Server {
  private client?: LanguageClient;

  constructor(
    private readonly properties: Record<string, unknown>,
    private readonly log: vscode.OutputChannel,
    private readonly status: Status,
    private readonly whenReady: () => void,
  ) {}

  get running(): LanguageClient | undefined {
    return this.client?.state === ClientState.Running ? this.client : undefined;
  }

  async start(launcher: Launcher): Promise<void> {
    await this.stop();
    this.status.show('starting');
    const [command = '', ...args] = launcher.server;
    // Its own folder: nothing of a workspace is found before what is installed.
    const executable = { command, args, options: { cwd: os.homedir() } };
    this.client = new LanguageClient('deepcodeseek', 'DeepCodeSeek', executable, {
      documentSelector: LANGUAGES.map(language => ({ scheme: 'file', language })),
      initializationOptions: () => this.options(),
      outputChannel: this.log,
      middleware: { handleWorkDoneProgress: (token, params, next) => this.onProgress(params, () => next(token, params)) },
    });
    this.client.registerProposedFeatures(); // inline completion is one of them in this version
    await this.client.start();
    await this.refresh();
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.dispose(5000).catch(() => undefined); // a server that never came up cannot be asked to end
  }

  /** The status that a bug report needs, or nothing where no server runs. */
  async ask(): Promise<ServerStatus | undefined> {
    return this.running?.sendRequest('workspace/executeCommand', { command: 'deepcodeseek.status', arguments: [] });
  }

  /** Asks the server how it is, and shows it. */
  async refresh(): Promise<void> {
    const status = await this.ask();
    if (!status) return;
    const isFull = !status.settings.lite && status.models.some(model => model.kind === 'generator');
    const apis = status.index.counts?.apis;
    const detail = apis === undefined ? '' : `${apis.toLocaleString()} APIs indexed`;
    if (status.state === 'ready') {
      this.status.show(isFull ? 'ready' : 'lite', isFull ? 'ready' : 'lite', detail);
      this.whenReady();
    } else if (status.state === 'starting' || status.state === 'indexing') {
      this.status.show(status.state);
    } else {
      this.status.show('error', status.state === 'no workspace' ? 'no folder is open' : 'no answers', status.state);
    }
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
