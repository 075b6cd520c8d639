-- DeepCodeSeek for Neovim 0.7 to 0.10. In init.lua: require('deepcodeseek').setup()
-- Neovim 0.11 and newer need no more than vim.lsp.enable('deepcodeseek').
local M = {}

local MARKERS = { '.git', 'package.json' }
local FILETYPES = { 'javascript', 'javascriptreact', 'typescript', 'typescriptreact' }

-- The nearest folder above a file that holds a marker, else the file's own.
local function root_of(file)
  local own = vim.fn.fnamemodify(file, ':p:h')
  local folder, last = own, nil
  while folder ~= last do
    for _, marker in ipairs(MARKERS) do
      if vim.loop.fs_stat(folder .. '/' .. marker) then return folder end
    end
    folder, last = vim.fn.fnamemodify(folder, ':h'), folder
  end
  return own
end

-- options: cmd, root_dir, init_options, on_attach; all may be left out.
function M.setup(options)
  options = options or {}
  local clients = {} -- by root: one server a workspace
  local function attach(buffer)
    local file = vim.api.nvim_buf_get_name(buffer)
    if file == '' or vim.bo[buffer].buftype ~= '' then return end
    local root = options.root_dir or root_of(file)
    local id = clients[root]
    if not (id and vim.lsp.get_client_by_id(id)) then
      id = vim.lsp.start_client({
        name = 'deepcodeseek',
        cmd = options.cmd or { 'deepcodeseek', 'serve', '--stdio' },
        root_dir = root,
        init_options = options.init_options,
        on_attach = options.on_attach,
      })
      clients[root] = id
    end
    if id then vim.lsp.buf_attach_client(buffer, id) end
  end
  vim.api.nvim_create_autocmd('FileType', {
    group = vim.api.nvim_create_augroup('deepcodeseek', { clear = true }),
    pattern = FILETYPES,
    callback = function(event) attach(event.buf) end,
  })
end

return M
