-- DeepCodeSeek for Neovim 0.11 and newer. In init.lua: vim.lsp.enable('deepcodeseek')
-- Change what is here by vim.lsp.config('deepcodeseek', { init_options = { maxItems = 10 } }).
return {
  cmd = { 'deepcodeseek', 'serve', '--stdio' },
  filetypes = { 'javascript', 'javascriptreact', 'typescript', 'typescriptreact' },
  root_markers = { '.git', 'package.json' },
}
