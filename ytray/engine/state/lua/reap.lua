-- Requeue the jobs whose lease has ended: nobody has spoken for them in time. The tracker does it for flows, too, since
-- their runner is silent when it stands still.
-- ARGV: epoch most result-ttl
-- Returns {ms until the next lease ends (-1: none), how many flows, id, fence, …} with the jobs that were requeued, and
-- with fence -1 those that were struck off since nothing can be read of them. Errors: EPOCH.

if redis.call('GET', P .. 'epoch:tracker') ~= ARGV[1] then return redis.error_reply('EPOCH') end
local at = now_ms()
local reaped = {-1, 0}
for _, holder in ipairs({'tracker', 'flows'}) do
  local leases = P .. 'leases:' .. holder
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', int(at), 'LIMIT', 0, ARGV[2])) do
    local job = load(id)
    reaped[#reaped + 1] = id
    reaped[#reaped + 1] = job and job.fence or '-1'
    if holder == 'flows' then reaped[2] = reaped[2] + 1 end
    if job and job.state == 'EXECUTING' then
      local blame = job.worker
      -- Who shares a process with others cannot help its silence; who runs alone can.
      if holder == 'flows' then blame = redis.call('HEXISTS', P .. 'j:' .. id, 'suspect') == 1 end
      requeue(job, at, 'its lease ended without a sign of life', blame, ARGV[3])
    elseif job then
      release(job)
    else
      strike(id, at)
    end
  end
  local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
  if first[2] then
    local left = math.max(0, tonumber(first[2]) - at)
    if reaped[1] < 0 or left < reaped[1] then reaped[1] = left end
  end
end
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', int(at))
return reaped
