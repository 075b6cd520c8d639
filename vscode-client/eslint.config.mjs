import js from '@eslint/js';
import typescript from 'typescript-eslint';

const browser = { acquireVsCodeApi: 'readonly', document: 'readonly', window: 'readonly' };

export default typescript.config(
  js.configs.recommended,
  { files: ['media/*.js'], languageOptions: { globals: browser } },
  {
    files: ['src/*.ts'],
    extends: [typescript.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    // What another extension or a JSON document says has no type.
    rules: Object.fromEntries(
      ['argument', 'assignment', 'call', 'member-access', 'return'].map(what => [`@typescript-eslint/no-unsafe-${what}`, 'off']),
    ),
  },
);
