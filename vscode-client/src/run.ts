/** Runs a command to its end, its output in the log. */
import { spawn } from 'node:child_process';
import * as os from 'node:os';
import * as readline from 'node:readline';
import * as vscode from 'vscode';

const COLUMNS = '160'; // a report scrolls sideways, a table that is broken up is hard to read

export interface RunOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly token?: vscode.CancellationToken;
  /** Gets each line; what it returns true for is not logged. */
  readonly onLine?: (line: string) => boolean;
}

/** Resolves when the command ends with status 0; rejects with its last line, or a CancellationError. */
export async function run(command: readonly string[], log: vscode.OutputChannel, options: RunOptions = {}): Promise<void> {
  log.appendLine(`> ${command.join(' ')}`);
  const [executable = '', ...args] = command;
  // Not in the workspace: some systems look for executables where they are started.
  const child = spawn(executable, args, { cwd: os.homedir(), env: { ...process.env, COLUMNS, ...options.environment }, windowsHide: true });
  const cancelled = options.token?.onCancellationRequested(() => child.kill());
  let last = '';
  const show = (line: string) => {
    if (options.onLine?.(line)) return;
    log.appendLine(line);
    last = line.trim() || last;
  };
  for (const stream of [child.stdout, child.stderr]) readline.createInterface({ input: stream }).on('line', show);
  const status = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  cancelled?.dispose();
  if (options.token?.isCancellationRequested) throw new vscode.CancellationError();
  if (status !== 0) throw new Error(last || `${executable} ended with status ${status}`);
}
