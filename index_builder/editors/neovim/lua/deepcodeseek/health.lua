-- :checkhealth deepcodeseek shows what `deepcodeseek doctor` says of the folder Neovim is in.
local M = {}

-- Before 0.10 these functions had other names.
local health = vim.health or require('health')
local start = health.start or health.report_start
local say = {
  ok = health.ok or health.report_ok,
  note = health.warn or health.report_warn,
  broken = health.error or health.report_error,
}

function M.check()
  start('deepcodeseek')
  if vim.fn.executable('deepcodeseek') == 0 then
    say.broken('deepcodeseek is not on the PATH', { 'make wheel && pipx install dist/deepcodeseek-*.whl   (in a checkout)' })
    return
  end
  local output = vim.fn.system({ 'deepcodeseek', 'doctor', '--json', vim.fn.getcwd() })
  local begin = output:find('{', 1, true)
  local is_json, report = pcall(vim.fn.json_decode, begin and output:sub(begin) or output)
  if not is_json then
    say.broken('deepcodeseek doctor failed: ' .. output)
    return
  end
  for _, check in ipairs(report.checks) do
    say[check.state](check.name .. ': ' .. check.found, check.mend ~= '' and { check.mend } or nil)
  end
end

return M
