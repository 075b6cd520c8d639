/** Wires it together: the server, the status bar item, the panel, the commands. */
import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { install, uninstall } from './install';
import { expandHome, findLauncher, type Launcher } from './launcher';
import { Panel } from './panel';
import { Reports } from './reports';
import { run, type RunOptions } from './run';
import { OWN_SETTINGS, Server } from './server';
import { Status } from './status';
import { chooseTarget, type Target } from './target';

/** Holds what the commands share. */
class Extension {
  private readonly log = vscode.window.createOutputChannel('DeepCodeSeek', 'log');
  private readonly status = new Status();
  private readonly reports = new Reports();
  private readonly server: Server;
  private readonly panel: Panel;
  private readonly environment: string;
  private launcher?: Launcher;

  constructor(private readonly context: vscode.ExtensionContext) {
    const properties = context.extension.packageJSON.contributes.configuration.properties;
    this.server = new Server(properties, this.log, this.status, () => this.panel.follow());
    this.panel = new Panel(vscode.Uri.joinPath(context.extensionUri, 'media'), this.server);
    this.environment = vscode.Uri.joinPath(context.globalStorageUri, 'venv').fsPath;
    context.subscriptions.push(this.log, this.status, this.reports, { dispose: () => this.server.stop() });
    this.register();
  }

  /** Starts the server; where none is installed, offers to install it. */
  async start(): Promise<void> {
    this.status.show('starting');
    try {
      if (await this.server.start(() => this.find())) return;
    } catch (reason) {
      return this.fail('The server did not start', reason);
    }
    await this.offerInstall();
  }

  private async find(): Promise<Launcher | undefined> {
    this.launcher = await findLauncher(this.environment, this.log);
    if (this.launcher) this.log.appendLine(`DeepCodeSeek ${this.launcher.version}: ${this.launcher.server.join(' ')}`);
    return this.launcher;
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  private register(): void {
    const commands: Record<string, () => unknown> = {
      menu: () => this.menu(),
      install: () => this.install(),
      uninstall: () => this.uninstall(),
      rebuild: () => this.withTool('Index', (tool, target) => this.rebuild(tool, target)),
      pause: () => this.pause(),
      switchMode: () => this.switchMode(),
      showLog: () => this.log.show(),
      doctor: () => this.withTool('Doctor', (tool, target) => this.doctor(tool, target)),
      measure: () => this.withTool('Measure', (tool, target) => this.measure(tool, target)),
      showPanel: () => vscode.commands.executeCommand('deepcodeseek.predicted.focus'),
    };
    for (const [name, work] of Object.entries(commands)) {
      this.context.subscriptions.push(vscode.commands.registerCommand(`deepcodeseek.${name}`, work));
    }
    this.context.subscriptions.push(
      vscode.window.registerWebviewViewProvider('deepcodeseek.predicted', this.panel),
      vscode.window.onDidChangeTextEditorSelection(() => this.panel.follow()),
      vscode.window.onDidChangeActiveTextEditor(() => this.panel.follow()),
      vscode.workspace.onDidChangeConfiguration(change => {
        if (OWN_SETTINGS.some(name => change.affectsConfiguration(`deepcodeseek.${name}`))) this.renew();
      }),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.renew()), // with the settings that were held back
    );
  }

  private renew(): void {
    if (this.status.state !== 'paused') void this.start();
  }

  private async menu(): Promise<void> {
    const isPaused = this.status.state === 'paused';
    const entries: (vscode.QuickPickItem & { command: string })[] = [
      ...(this.launcher ? [] : [{ label: '$(cloud-download) Install the server', command: 'install' }]),
      { label: '$(list-ordered) Show predicted APIs', command: 'showPanel' },
      { label: '$(refresh) Rebuild the index', command: 'rebuild' },
      { label: isPaused ? '$(debug-start) Resume' : '$(debug-pause) Pause', command: 'pause' },
      { label: this.isLite() ? '$(rocket) Switch to full mode' : '$(zap) Switch to lite mode', command: 'switchMode' },
      { label: '$(output) Show the log', command: 'showLog' },
      { label: '$(pulse) Doctor: check the installation', command: 'doctor' },
      { label: '$(graph) Measure on this workspace', command: 'measure' },
    ];
    const chosen = await vscode.window.showQuickPick(entries, { title: 'DeepCodeSeek' });
    if (chosen) await vscode.commands.executeCommand(`deepcodeseek.${chosen.command}`);
  }

  private async offerInstall(): Promise<void> {
    const named = vscode.workspace.getConfiguration('deepcodeseek').get<string>('pythonPath');
    this.status.show('missing', 'not installed');
    const choices = named ? ['Install', 'Open Settings', 'Show Log'] : ['Install', 'Show Log'];
    const what = named
      ? `The Python that the settings name has no DeepCodeSeek: ${named}. It can be installed into a private environment of this extension.`
      : 'The DeepCodeSeek server is not installed. It can be installed into a private environment of this extension.';
    const chosen = await vscode.window.showInformationMessage(what, ...choices);
    if (chosen === 'Install') await this.install();
    if (chosen === 'Open Settings') await vscode.commands.executeCommand('workbench.action.openSettings', 'deepcodeseek.pythonPath');
    if (chosen === 'Show Log') this.log.show();
  }

  private async install(): Promise<void> {
    try {
      await this.server.stop(); // what runs cannot be replaced everywhere
      this.status.show('starting', 'installing');
      await install(this.environment, vscode.Uri.joinPath(this.context.extensionUri, 'dist').fsPath, this.log);
    } catch (reason) {
      if (reason instanceof vscode.CancellationError) this.status.show('missing', 'not installed');
      else this.fail('Installing failed', reason);
      return;
    }
    await this.start();
  }

  private async uninstall(): Promise<void> {
    const question = 'Remove the server that this extension installed, with all models and the indexes of all workspaces?';
    if ((await vscode.window.showWarningMessage(question, { modal: true }, 'Remove')) !== 'Remove') return;
    try {
      await this.server.stop();
      await uninstall(this.environment, this.log);
      this.launcher = undefined;
      this.status.show('missing', 'not installed');
    } catch (reason) {
      this.fail('Removing failed', reason);
    }
  }

  private async pause(): Promise<void> {
    if (this.status.state === 'paused') return this.start();
    await this.server.stop();
    this.status.show('paused');
  }

  private isLite(): boolean {
    return vscode.workspace.getConfiguration('deepcodeseek').get('lite', false);
  }

  private async switchMode(): Promise<void> {
    await vscode.workspace.getConfiguration('deepcodeseek').update('lite', !this.isLite(), vscode.ConfigurationTarget.Global);
  }

  /** Runs commands of the tool on a folder under a cancellable progress; what goes wrong is said once. */
  private async withTool(title: string, work: (tool: Tool, target: Target) => Promise<void>): Promise<void> {
    const launcher = this.launcher;
    if (!launcher) return this.offerInstall();
    const options = { location: vscode.ProgressLocation.Notification, title: `DeepCodeSeek: ${title}`, cancellable: true };
    try {
      const target = await chooseTarget(this.server);
      await vscode.window.withProgress(options, (_progress, token) =>
        work((args, more) => run([...launcher.tool, ...args], this.log, { token, ...more }), target),
      );
    } catch (reason) {
      if (!(reason instanceof vscode.CancellationError)) this.say(`${title} failed`, reason);
    } finally {
      this.status.restore();
      await this.server.refresh();
    }
  }

  private async rebuild(tool: Tool, { folder, index }: Target): Promise<void> {
    const models = vscode.workspace.getConfiguration('deepcodeseek').get<string>('modelsDirectory');
    const where = [...(index ? ['--out', index] : []), ...(models ? ['--models', expandHome(models)] : [])];
    await tool(['index', folder, ...where, '--progress', 'jsonl'], { onLine: line => this.showStep(line) });
  }

  private async doctor(tool: Tool, { folder, index }: Target): Promise<void> {
    const lines: string[] = [];
    await tool(['doctor', folder, ...(index ? ['--index', index] : [])], { onLine: line => lines.push(line) > 0 }).catch(reason => {
      if (!lines.length) throw reason; // else it found something that is broken, and says what
    });
    await this.reports.show('Doctor', lines);
  }

  private showStep(line: string): boolean {
    try {
      const { task, done, total } = JSON.parse(line);
      this.status.step(`indexing ${done} of ${total}`, task);
      return true;
    } catch {
      return false; // a line for the log
    }
  }

  private async measure(tool: Tool, { folder, index }: Target): Promise<void> {
    if (!index) throw new Error('the server is not running');
    const own = await fs.mkdtemp(path.join(os.tmpdir(), 'deepcodeseek-'));
    try {
      const samples = path.join(own, 'samples.jsonl');
      const lines: string[] = [];
      const keep = { onLine: (line: string) => lines.push(line) > 0 };
      await tool(['eval', 'mine', folder, '--out', samples], keep);
      await tool(['eval', 'run', '--index', index, '--samples', samples, '--first-only'], keep);
      await this.reports.show('Measure', lines);
    } finally {
      await fs.rm(own, { recursive: true, force: true });
    }
  }

  private fail(what: string, reason: unknown): void {
    this.status.show('error', 'error', this.say(what, reason));
  }

  private say(what: string, reason: unknown): string {
    const message = `${what}: ${reason instanceof Error ? reason.message : String(reason)}`;
    this.log.appendLine(message);
    void vscode.window.showErrorMessage(`DeepCodeSeek: ${message}`, 'Show Log').then(chosen => chosen && this.log.show());
    return message;
  }
}

/** Runs one command of the tool to its end. */
type Tool = (args: readonly string[], more?: RunOptions) => Promise<void>;

let extension: Extension | undefined; // VS Code calls the two functions below, and hands nothing from one to the other

export function activate(context: vscode.ExtensionContext): void {
  extension = new Extension(context);
  void extension.start();
}

export function deactivate(): Promise<void> | undefined {
  return extension?.stop();
}
