/** The view "Predicted APIs": what the server would offer at the cursor, with why and documentation. */
import { randomBytes } from 'node:crypto';
import MarkdownIt from 'markdown-it';
import * as vscode from 'vscode';
import { CompletionItem, CompletionList, CompletionResolveRequest, InsertTextFormat } from 'vscode-languageclient/node';
import { LANGUAGES, type Server } from './server';

const SETTLE_MS = 400; // after the cursor's last move: the list at the keystroke comes first
const SHOWN = 10;

interface Shown {
  readonly name: string;
  readonly why: string;
  readonly html: string;
}

/** Where a question is asked: at the cursor, as it was last in a script. */
interface Place {
  readonly document: vscode.TextDocument;
  readonly position: vscode.Position;
}

/** What was asked and answered: an insertion is only right there. */
interface Asked {
  readonly document: vscode.TextDocument;
  readonly version: number;
  readonly items: readonly CompletionItem[];
}

export class Panel implements vscode.WebviewViewProvider {
  private readonly markdown = new MarkdownIt({ html: false, linkify: false }).disable('image');
  private view?: vscode.WebviewView;
  private timer?: NodeJS.Timeout;
  private asking?: vscode.CancellationTokenSource;
  private place?: Place;
  private asked?: Asked;

  constructor(
    private readonly folder: vscode.Uri,
    private readonly server: Server,
  ) {}

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    view.webview.options = { enableScripts: true, localResourceRoots: [this.folder] };
    view.webview.html = page(view.webview, this.folder);
    view.webview.onDidReceiveMessage((message: { insert?: number }) => {
      if (message.insert === undefined) this.follow();
      else void this.insert(message.insert);
    });
    view.onDidChangeVisibility(() => this.follow());
    view.onDidDispose(() => (this.view = undefined));
  }

  /** Asks again once the cursor rests; while nobody sees the view, nothing is asked. */
  follow(): void {
    clearTimeout(this.timer);
    if (this.view?.visible) this.timer = setTimeout(() => void this.ask(), SETTLE_MS);
  }

  private async ask(): Promise<void> {
    const client = this.server.running;
    if (!client) return this.show('The server is not running.');
    this.place = scriptPlace() ?? this.place;
    if (!this.place || this.place.document.isClosed) return this.show('Open a script: what it may call next appears here.');
    const { document, position } = this.place;
    this.asking?.cancel();
    const token = (this.asking = new vscode.CancellationTokenSource()).token;
    const version = document.version;
    try {
      const params = client.code2ProtocolConverter.asTextDocumentPositionParams(document, position);
      const list = await client.sendRequest<CompletionList | null>('textDocument/completion', { ...params, context: { triggerKind: 1 } }, token);
      const first = (list?.items ?? []).slice(0, SHOWN);
      const items = await Promise.all(first.map(item => client.sendRequest(CompletionResolveRequest.type, item, token)));
      if (token.isCancellationRequested) return;
      this.asked = { document, version, items };
      this.show(items.length ? '' : 'No API is predicted here.', items.map(item => this.shown(item)));
    } catch {
      // Cancelled by a newer question, or the server went away: what is shown stays.
    }
  }

  private shown(item: CompletionItem): Shown {
    const text = typeof item.documentation === 'object' ? item.documentation.value : (item.documentation ?? '');
    const [documentation = '', reasons = ''] = text.split('\n\n---\n\n**Why:** ');
    const [why = '', ...rest] = reasons.split('\n\n');
    const html = this.markdown.render([documentation, ...rest].join('\n\n'));
    const scope = item.labelDetails?.description;
    return { name: item.label, why: [scope, why].filter(Boolean).join(' · '), html };
  }

  private async insert(place: number): Promise<void> {
    const { document, version, items } = this.asked ?? {};
    const item = items?.[place];
    const edit = item?.textEdit;
    const converter = this.server.running?.protocol2CodeConverter;
    if (!document || !converter || !edit || !('range' in edit) || document.version !== version) return this.follow();
    const isSnippet = item?.insertTextFormat === InsertTextFormat.Snippet;
    const text = new vscode.SnippetString();
    if (isSnippet) text.value = edit.newText;
    else text.appendText(edit.newText);
    const shown = await vscode.window.showTextDocument(document);
    const imports = await converter.asTextEdits(item?.additionalTextEdits ?? []);
    const isInserted = await shown.insertSnippet(text, converter.asRange(edit.range));
    if (!isInserted || !imports.length) return;
    const more = new vscode.WorkspaceEdit(); // only now: an import above moves the place of the snippet
    more.set(document.uri, imports);
    await vscode.workspace.applyEdit(more);
  }

  private show(message: string, items: Shown[] = []): void {
    void this.view?.webview.postMessage({ message, items });
  }
}

/** The cursor, where the editor in use holds a script. */
function scriptPlace(): Place | undefined {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document.uri.scheme !== 'file' || !LANGUAGES.includes(editor.document.languageId)) return undefined;
  return { document: editor.document, position: editor.selection.active };
}

function page(webview: vscode.Webview, folder: vscode.Uri): string {
  const file = (name: string) => webview.asWebviewUri(vscode.Uri.joinPath(folder, name)).toString();
  const nonce = randomBytes(16).toString('base64');
  const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>Predicted APIs</title>
<link rel="stylesheet" href="${file('panel.css')}">
</head>
<body>
<main>
<h1 class="hidden">Predicted APIs</h1>
<p id="message" role="status">Put the cursor into a script.</p>
<ol id="list"></ol>
</main>
<script nonce="${nonce}" src="${file('panel.js')}"></script>
</body>
</html>`;
}
