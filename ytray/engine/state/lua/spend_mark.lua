-- What a paid call has come to, under the fence of the attempt that makes it.
-- ARGV: key job fence worker what value
--   what   sent:    the request goes out now. Refused when the job is no longer this worker's: then it must not.
--          started: the provider has named the operation (value). Kept even if the job was cancelled meanwhile.
-- Returns 1, or 0 when it is refused.

local key, id, fence, worker, what, value = unpack(ARGV, 1, 6)
local call = load_call(key)
if not call or call.job ~= id or call.fence ~= fence then
  count('stale')
  return 0
end
if what == 'sent' then
  local job = load(id)
  if call.state ~= 'intended' or not job or job.state ~= 'EXECUTING' or job.fence ~= fence or job.worker ~= worker then
    count('stale')
    return 0
  end
  redis.call('HSET', P .. 's:' .. key, 'sent', int(now_ms()))
else
  redis.call('HSET', P .. 's:' .. key, 'op', value)
  if call.state == 'intended' then redis.call('HSET', P .. 's:' .. key, 'state', 'started') end
end
return 1
