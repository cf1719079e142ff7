-- Extend leases. A worker extends those of the jobs it runs; the tracker (worker '') those of the jobs that are
-- launched and that no worker has taken up yet.
-- ARGV: holder worker lease-ms, then id, fence, id, fence, …
-- Returns the ids whose lease is lost: the caller must stop working on them. (The tracker ignores them.)

local holder, worker = ARGV[1], ARGV[2]
local until_ms = int(now_ms() + ARGV[3])
local lost = {}
for i = 4, #ARGV, 2 do
  local f = try({}, 'HMGET', P .. 'j:' .. ARGV[i], 'state', 'fence', 'worker')
  if f[1] == 'EXECUTING' and f[2] == ARGV[i + 1] and (f[3] or '') == worker then
    redis.call('ZADD', P .. 'leases:' .. holder, until_ms, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
if worker ~= '' then redis.call('ZADD', P .. 'workers', until_ms, worker) end
return lost
