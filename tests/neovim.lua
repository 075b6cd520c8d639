-- Drives a headless Neovim with the settings that ship: attach, wait until ready, complete, accept, hover, health.
-- Environment: DCS_PYTHON, DCS_SETTINGS, DCS_WORKSPACE, DCS_FILE, DCS_LINE and DCS_COLUMN (1-based). Prints JSON lines.
local function fail(message)
  io.stderr:write('FAIL ' .. message .. '\n')
  vim.cmd('cquit 1')
end

local function say(kind, value)
  io.stdout:write(vim.fn.json_encode({ kind = kind, value = value }) .. '\n')
end

-- As a person's init.lua does, but with the server of this test run.
local function set_up()
  local cmd = { vim.env.DCS_PYTHON, '-I', '-m', 'deepcodeseek.server', '--stdio' }
  vim.opt.runtimepath:append(vim.env.DCS_SETTINGS)
  if vim.lsp.enable then
    vim.lsp.config('deepcodeseek', { cmd = cmd, root_dir = vim.env.DCS_WORKSPACE })
    vim.lsp.enable('deepcodeseek')
  else
    require('deepcodeseek').setup({ cmd = cmd, root_dir = vim.env.DCS_WORKSPACE })
  end
  vim.cmd('filetype on')
end

local function attached(buffer)
  local clients = (vim.lsp.get_clients or vim.lsp.get_active_clients)()
  local client = clients[1]
  return client and client.initialized and vim.lsp.buf_is_attached(buffer, client.id) and client.id
end

local function health()
  vim.cmd('checkhealth deepcodeseek')
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

local function main()
  local line, column = tonumber(vim.env.DCS_LINE), tonumber(vim.env.DCS_COLUMN)
  set_up()
  vim.cmd('edit ' .. vim.fn.fnameescape(vim.env.DCS_FILE))
  local buffer = vim.api.nvim_get_current_buf()
  if not vim.wait(20000, function() return attached(buffer) end, 50) then return fail('not attached') end
  local id = attached(buffer)

  local function request(method, params)
    local result, problem = vim.lsp.buf_request_sync(buffer, method, params, 30000)
    if not result then return fail(method .. ': ' .. tostring(problem)) end
    local answer = result[id]
    if not answer or answer.err or answer.error then return fail(method .. ': ' .. vim.inspect(answer)) end
    return answer.result
  end
  local function at(l, c)
    return {
      textDocument = { uri = vim.uri_from_bufnr(buffer) },
      position = { line = l - 1, character = c - 1 },
    }
  end
  local function status()
    return request('workspace/executeCommand', { command = 'deepcodeseek.status', arguments = {} })
  end

  local ready = vim.wait(60000, function() return status().state == 'ready' end, 200)
  if not ready then return fail('not ready: ' .. vim.inspect(status())) end

  local list = request('textDocument/completion', at(line, column))
  say('label', list.items[1].label)

  -- as a person: omni completion, first entry, accept
  vim.bo[buffer].omnifunc = 'v:lua.vim.lsp.omnifunc'
  vim.o.completeopt = 'menu,menuone'
  vim.api.nvim_win_set_cursor(0, { line, column })
  _G.wait_for_menu = function()
    vim.wait(10000, function() return vim.fn.pumvisible() == 1 end, 20)
    return ''
  end
  local keys = 'A<C-x><C-o><C-r>=v:lua.wait_for_menu()<CR><C-y><Esc>'
  vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(keys, true, false, true), 'x', false)
  local written = vim.api.nvim_buf_get_lines(buffer, line - 1, line, false)[1]
  say('line', written)

  local hover = request('textDocument/hover', at(line, #written))
  say('hover', hover.contents.value)
  say('documents', status().documents)
  say('text', table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n') .. '\n')

  vim.lsp.stop_client(id)
  vim.wait(5000, function() return vim.lsp.get_client_by_id(id) == nil end, 20)
  vim.cmd('cd ' .. vim.fn.fnameescape(vim.env.DCS_WORKSPACE))
  say('health', health())
  vim.cmd('qall!')
end

local ok, problem = xpcall(main, debug.traceback)
if not ok then fail(problem) end
