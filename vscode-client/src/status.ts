/** The status bar item: one line on what the server does, a menu behind it. */
import * as vscode from 'vscode';

export type State = 'starting' | 'indexing' | 'ready' | 'lite' | 'paused' | 'missing' | 'error';

const ICONS: Record<State, string> = {
  starting: '$(sync~spin)',
  indexing: '$(sync~spin)',
  ready: '$(check)',
  lite: '$(zap)',
  paused: '$(debug-pause)',
  missing: '$(cloud-download)',
  error: '$(warning)',
};

/** Shows a state; remembers it for the menu. */
export class Status implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('deepcodeseek.status', vscode.StatusBarAlignment.Right, 90);
  state: State = 'starting';
  /** Shows the state again. */
  restore = (): void => undefined;

  constructor() {
    this.item.name = 'DeepCodeSeek';
    this.item.command = 'deepcodeseek.menu';
    this.show('starting');
    this.item.show();
  }

  /** `label` follows the name, as in `DeepCodeSeek: indexing 12 of 40`; `detail` stands in the tooltip. */
  show(state: State, label: string = state, detail = ''): void {
    this.state = state;
    this.restore = () => this.draw(state, label, detail);
    this.restore();
  }

  /** Shows how far a command is that runs beside the server, until `restore`. */
  step(label: string, detail: string): void {
    this.draw('indexing', label, detail);
  }

  private draw(state: State, label: string, detail: string): void {
    const shown = state === 'ready' ? 'DeepCodeSeek' : `DeepCodeSeek: ${label}`;
    this.item.text = `${ICONS[state]} ${shown}`;
    this.item.tooltip = [`DeepCodeSeek: ${label}`, detail, 'Click for the menu.'].filter(Boolean).join('\n');
    this.item.accessibilityInformation = { label: `DeepCodeSeek, ${label}` };
    const isWarning = state === 'error' || state === 'missing';
    this.item.backgroundColor = isWarning ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
  }

  dispose(): void {
    this.item.dispose();
  }
}
