-- Requeue the jobs whose lease has ended: nobody has spoken for them in time.
-- ARGV: holder epoch most result-ttl
-- Returns {ms until the next lease ends (-1: none), id, fence, …} with the jobs that were requeued. Errors: EPOCH.

local holder = ARGV[1]
if redis.call('GET', P .. 'epoch:' .. holder) ~= ARGV[2] then return redis.error_reply('EPOCH') end
local at = now_ms()
local leases = P .. 'leases:' .. holder
local reaped = {-1}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', int(at), 'LIMIT', 0, ARGV[3])) do
  local job = load(id)
  reaped[#reaped + 1] = id
  reaped[#reaped + 1] = job.fence
  requeue(job, at, 'its lease ended without a sign of life', job.worker, ARGV[4])
end
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', int(at))
local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
if first[2] then reaped[1] = math.max(0, tonumber(first[2]) - at) end
return reaped
