-- The version of what is stored, and who brings it up to date.
-- ARGV: what current token lock-ms from
--   token  what tells the process that migrates from others; of a look the secret that a new store gets
--   what  look: '' when the store is of the current version, or new: then it is from now on. Else the version that it
--               has; without one it is of the time before versions, 0, unless it says that a restore was broken off
--         take: be the one process that migrates for lock-ms from now on, or go on being it
--         done: it is of the current version now, if it was of the version `from`
--         free: let another one migrate
-- Returns what look says; for the others 1, or 0 when another process is at it.

local what, current, token, lock_ms, from = unpack(ARGV, 1, 5)
local stored = redis.call('GET', P .. 'schema')
if what == 'look' then
  if stored == current then return '' end
  if stored then return stored end
  for _, used in ipairs({'m', 'epoch:tracker', 'keys', 'budgets'}) do
    if redis.call('EXISTS', P .. used) == 1 then return '0' end
  end
  redis.call('SET', P .. 'schema', current)
  redis.call('SET', P .. 'secret', token, 'NX')
  return ''
end
local holder = redis.call('GET', P .. 'migrating')
if holder and holder ~= token then return 0 end
if what == 'take' then
  redis.call('SET', P .. 'migrating', token, 'PX', lock_ms)
elseif what == 'done' then
  if not holder or (stored or '0') ~= from then return 0 end
  redis.call('SET', P .. 'schema', current)
else
  redis.call('DEL', P .. 'migrating')
end
return 1
