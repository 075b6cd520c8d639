/** Installs the server into a private virtual environment: it appears by one rename, whole or not at all. */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { findPython, pythonOf } from './launcher';
import { run } from './run';

/** Makes the environment at a path and installs the server into it, with progress and a log. `wheels`: what we carry. */
export async function install(environment: string, wheels: string, log: vscode.OutputChannel): Promise<void> {
  const options = { location: vscode.ProgressLocation.Notification, title: 'DeepCodeSeek', cancellable: true };
  await vscode.window.withProgress(options, async (progress, token) => {
    const staged = `${environment}.part`;
    try {
      progress.report({ message: 'making a virtual environment' });
      await makeEnvironment(staged, log, token);
      await fillEnvironment(staged, wheels, log, token, message => progress.report({ message }));
      await fs.rm(environment, { recursive: true, force: true });
      await fs.rename(staged, environment);
    } finally {
      await fs.rm(staged, { recursive: true, force: true });
    }
  });
}

const CLEAN = `import shutil, platformdirs as p
for find in (p.user_cache_path, p.user_data_path):
    shutil.rmtree(find("deepcodeseek", appauthor=False), ignore_errors=True)`;

/** Removes the environment, and with it every index and model. */
export async function uninstall(environment: string, log: vscode.OutputChannel): Promise<void> {
  await run([pythonOf(environment), '-I', '-c', CLEAN], log);
  await fs.rm(environment, { recursive: true, force: true });
}

async function makeEnvironment(staged: string, log: vscode.OutputChannel, token: vscode.CancellationToken): Promise<void> {
  const python = await findPython();
  if (!python) throw new Error('no Python 3.11 or newer was found: install one, or set deepcodeseek.pythonPath');
  await fs.rm(staged, { recursive: true, force: true });
  await run([python, '-I', '-m', 'venv', staged], log, { token });
}

async function fillEnvironment(
  staged: string,
  wheels: string,
  log: vscode.OutputChannel,
  token: vscode.CancellationToken,
  say: (message: string) => void,
): Promise<void> {
  const python = pythonOf(staged);
  const { what, environment } = await source(wheels);
  const pip = [python, '-I', '-m', 'pip', 'install', '--disable-pip-version-check'];
  say('installing the server');
  await run([...pip, '--no-deps', what], log, { token, environment });
  say('installing what it needs; where there is no wheel for this machine, llama-cpp-python compiles for some minutes');
  const flags = await promisify(execFile)(python, ['-I', '-m', 'deepcodeseek.index_builder.llama_flags']);
  const compiling = { CMAKE_ARGS: process.env.CMAKE_ARGS ?? flags.stdout.trim(), ...environment };
  await run([...pip, what], log, { token, environment: compiling });
  say('fetching the expander (98 MB)');
  // Without it the server answers in lite mode, and says so.
  await run([python, '-I', '-m', 'deepcodeseek.index_builder.cli', 'models', 'get'], log, { token, environment }).catch(reason => {
    if (reason instanceof vscode.CancellationError) throw reason;
  });
}

/** What pip installs: the wheel that we carry, of our own version, or what the settings say. */
async function source(wheels: string): Promise<{ what: string; environment: NodeJS.ProcessEnv }> {
  const from = vscode.workspace.getConfiguration('deepcodeseek').get<string>('installFrom')?.trim() ?? '';
  const isFolder = await fs.stat(from).then(stat => stat.isDirectory(), () => false);
  if (from && !isFolder) return { what: from, environment: {} };
  const carried = (await fs.readdir(wheels)).find(name => name.endsWith('.whl'));
  if (!carried) throw new Error(`this extension was packed without a server: ${wheels}`);
  // What it needs comes from a folder of wheels, without any network, or else from pip's package index.
  return { what: path.join(wheels, carried), environment: isFolder ? { PIP_NO_INDEX: '1', PIP_FIND_LINKS: from } : {} };
}
