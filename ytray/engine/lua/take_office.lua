-- A new tracker or flow runner takes over: its predecessor's claims are refused from now on, and every job that
-- was in flight under it goes back to its queue. Ray stops the tasks of a dead owner, so none of them can finish;
-- one that is still running for a moment is held off by its fence.
-- ARGV: holder epoch result-ttl
-- Returns how many jobs went back.

local holder = ARGV[1]
redis.call('SET', P .. 'epoch:' .. holder, ARGV[2])
local at = now_ms()
local inherited = redis.call('ZRANGE', P .. 'leases:' .. holder, 0, -1)
for _, id in ipairs(inherited) do
  local job = load(id)
  if job.worker then abort_unit(job, at) end
  requeue(job, at, 'the ' .. holder .. ' actor was restarted', false, ARGV[3])
end
wake(holder)
return #inherited
