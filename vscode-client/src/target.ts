/** What a command is about: a workspace folder and its own index. */
import * as path from 'node:path';
import * as vscode from 'vscode';
import { expandHome } from './launcher';
import type { Server } from './server';

export interface Target {
  readonly folder: string;
  /** Where its index lies; nothing: where the tool looks by itself. */
  readonly index?: string;
}

/** The folder of the script in use; where that tells nothing, the one that is chosen. */
export async function chooseTarget(server: Server): Promise<Target> {
  const folder = (await chooseFolder()).uri.fsPath;
  const known = (await server.ask())?.folders.find(each => path.relative(each.folder, folder) === '');
  return { folder, index: known?.directory ?? configuredIndex() };
}

async function chooseFolder(): Promise<vscode.WorkspaceFolder> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  if (!folders.length) throw new Error('no folder is open');
  const document = vscode.window.activeTextEditor?.document;
  const active = document && vscode.workspace.getWorkspaceFolder(document.uri);
  const chosen = active ?? (folders.length > 1 ? await vscode.window.showWorkspaceFolderPick() : folders[0]);
  if (!chosen) throw new vscode.CancellationError();
  return chosen;
}

/** While no server runs that could say it, and which folder of several has that place. */
function configuredIndex(): string | undefined {
  const configured = vscode.workspace.getConfiguration('deepcodeseek').get('indexDirectory', '');
  if (!configured) return undefined;
  if ((vscode.workspace.workspaceFolders ?? []).length > 1) throw new Error('start the server first: it knows where the index of each folder lies');
  return expandHome(configured);
}
