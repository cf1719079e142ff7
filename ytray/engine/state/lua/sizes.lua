-- Whose jobs are, and how many bytes their arguments take. Reads only.
-- ARGV: ids
-- Returns for each the user ('' where there is none) and the bytes of its spec (0 where there is none).

local found = {}
for i, id in ipairs(ARGV) do
  local f = try({}, 'HMGET', P .. 'j:' .. id, 'user', 'spec')
  found[2 * i - 1] = f[1] or ''
  found[2 * i] = #(f[2] or '')
end
return found
