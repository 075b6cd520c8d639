/** Finds what starts the server: a Python that has it installed, or an executable `deepcodeseek`. */
import { execFile } from 'node:child_process';
import * as os from 'node:os';
import * as path from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';

const PROBE_MS = 20_000; // the first start of a Python on a cold disk
const PROBE = 'import sys, deepcodeseek.server as s; print(s.__version__); print(sys.executable)';
const VERSION = 'import sys; print(sys.version_info >= (3, 11)); print(sys.executable)';
const PYTHONS =
  process.platform === 'win32' ? ['py', 'python'] : ['python3', 'python', 'python3.14', 'python3.13', 'python3.12', 'python3.11'];

/** How the server and the command line tool are started; the first word is an absolute path where one is known. */
export interface Launcher {
  readonly version: string;
  readonly server: readonly string[];
  readonly tool: readonly string[];
}

/** The one the settings name, else our own environment; where they name none, also the Python extension's, those on the PATH. */
export async function findLauncher(environment: string, log: vscode.OutputChannel): Promise<Launcher | undefined> {
  const named = namedPython();
  if (named) return (await probePython(named, log)) ?? (await probePython(pythonOf(environment)));
  const pythons = [pythonOf(environment), ...(await interpreters())];
  const found = await Promise.all([...pythons.map(python => probePython(python)), probeExecutable('deepcodeseek')]);
  return found.find(launcher => launcher !== undefined);
}

/** A Python of version 3.11 or newer, to make an environment with; the one the settings name comes first. */
export async function findPython(): Promise<string | undefined> {
  for (const python of [namedPython(), ...(await interpreters())]) {
    if (!python) continue;
    const [isRecent, executable] = await lines(python, ['-I', '-c', VERSION]);
    if (isRecent === 'True') return executable;
  }
  return undefined;
}

/** The Python of a virtual environment. */
export function pythonOf(environment: string): string {
  return process.platform === 'win32' ? path.join(environment, 'Scripts', 'python.exe') : path.join(environment, 'bin', 'python');
}

/** `-I`: what lies in a workspace must not take the place of a module. */
async function probePython(python: string, log?: vscode.OutputChannel): Promise<Launcher | undefined> {
  const [version, executable] = await lines(python, ['-I', '-c', PROBE], log);
  if (!version || !executable) return undefined;
  const module = (name: string) => [executable, '-I', '-m', name];
  return { version, server: [...module('deepcodeseek.server'), '--stdio'], tool: module('deepcodeseek.index_builder.cli') };
}

/** What pipx and uv put on the PATH. */
async function probeExecutable(executable: string): Promise<Launcher | undefined> {
  const [said] = await lines(executable, ['--version']);
  const version = said?.match(/deepcodeseek, version (\S+)/)?.[1];
  return version ? { version, server: [executable, 'serve', '--stdio'], tool: [executable] } : undefined;
}

async function interpreters(): Promise<string[]> {
  return [...(await chosenInterpreter()), ...PYTHONS];
}

/** The interpreter chosen in the Python extension, where that is installed. */
async function chosenInterpreter(): Promise<string[]> {
  try {
    const python = vscode.extensions.getExtension('ms-python.python');
    const api = (await python?.activate())?.environments;
    const chosen = await api?.resolveEnvironment(api.getActiveEnvironmentPath());
    return chosen?.executable?.uri ? [chosen.executable.uri.fsPath] : [];
  } catch {
    return []; // it is somebody else's: without it there are others
  }
}

/** What a command prints; nothing where it fails, and why in the log where there is one. */
async function lines(command: string, args: string[], log?: vscode.OutputChannel): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd: os.homedir(), timeout: PROBE_MS });
    return stdout.trim().split(/\r?\n/);
  } catch (reason) {
    log?.appendLine(String(reason));
    return [];
  }
}

function namedPython(): string {
  return expandHome(vscode.workspace.getConfiguration('deepcodeseek').get('pythonPath', '').trim());
}

export function expandHome(named: string): string {
  return named.startsWith('~') ? path.join(os.homedir(), named.slice(1)) : named;
}
