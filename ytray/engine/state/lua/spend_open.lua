-- Write down the intent of a paid call before it is made, or find what became of it earlier.
-- ARGV: key job fence worker user month estimate provider model kind about again on-uncertain user-limit at-once
--       hold-ms keep-seconds       (money in micro-USD)
--   month         YYYY-MM, whose spending it counts for
--   again         1: what an earlier call bought is gone, buy it again
--   on-uncertain  retry: make a call again whose outcome nobody knows; stop: say so instead
--   user-limit    what the user may spend in a month, where no budget of theirs is stored; '' for any amount
--   at-once       how many calls the model may run at the same time; 0 for any number
--   hold-ms       after so long a call that says nothing no longer counts among those
-- Returns a verdict and what goes with it:
--   GO                       the call may be made; its estimate is reserved
--   DONE asset               it was made before, and this is what it bought
--   STARTED operation        it was started before: ask what became of it, start no other
--   ELSEWHERE job            another job is at the same call now
--   FULL                     the model runs as many calls as it may
--   BUDGET scope limit left  the estimate does not fit the budget
--   UNCERTAIN why            it was made before, and nobody knows what became of it
--   STALE                    the job is no longer this worker's

local key, id, fence, worker, user, month = unpack(ARGV, 1, 6)
local estimate = tonumber(ARGV[7])
local provider, model, kind, about, again, on_uncertain, user_limit = unpack(ARGV, 8, 14)
local at_once, hold_ms, keep = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local at = now_ms()
local job = load(id)
if not job or job.state ~= 'EXECUTING' or job.fence ~= fence or job.worker ~= worker then
  count('stale')
  return {'STALE'}
end

local function is_at_it(call)
  if call.job == id then return false end
  local owner = load(call.job)
  if not owner then return false end
  if owner.state == 'EXECUTING' then return owner.fence == call.fence end
  return call.state == 'started' and (owner.state == 'RETRYING' or owner.state == 'QUEUED')
end

local function take_over(call)
  local reserved = call.held > 0
  if reserved then reserve(call, -1) end
  redis.call('HSET', P .. 's:' .. key, 'job', id, 'fence', fence, 'state', 'started')
  call.job = id
  if reserved then reserve(call, 1) end
  redis.call('SADD', P .. 'sj:' .. id, key)
  return {'STARTED', call.op}
end

local call = load_call(key)
if call then
  if call.state == 'done' and again ~= '1' then return {'DONE', call.asset} end
  if (call.state == 'intended' or call.state == 'started') and is_at_it(call) then return {'ELSEWHERE', call.job} end
  if call.op ~= '' and (call.state == 'started' or call.state == 'uncertain') then return take_over(call) end
  if call.state == 'intended' and call.sent then
    settle(call, call.lost + call.estimate)
    call.state = 'uncertain'
    redis.call('HSET', P .. 's:' .. key, 'state', 'uncertain', 'error',
      'its worker died after the call was sent and before the answer was kept')
    count('calls|' .. escaped(call.provider) .. '|' .. escaped(call.model) .. '|uncertain')
  elseif call.state == 'intended' then
    settle(call, call.lost)
  end
  if call.state == 'uncertain' and on_uncertain ~= 'retry' and not call.allowed then
    return {'UNCERTAIN', redis.call('HGET', P .. 's:' .. key, 'error')}
  end
end

local limits = {{'user|' .. user .. '|' .. month, redis.call('HGET', P .. 'budgets', 'user|' .. user) or user_limit,
  redis.call('HGET', P .. 'spent', 'user|' .. user .. '|' .. month)}}
for _, above in ipairs(lineage(id)) do
  local place = cost_of(above)
  limits[#limits + 1] = {'flow|' .. above, redis.call('HGET', P .. 'budgets', 'flow|' .. above) or '',
    place and redis.call('HGET', place, 'cost')}
end
for _, entry in ipairs(limits) do
  local scope, limit, spent = entry[1], tonumber(entry[2]), tonumber(entry[3] or 0) or 0
  if limit then
    local left = limit - spent - tonumber(redis.call('HGET', P .. 'held', scope) or 0)
    if estimate > left then return {'BUDGET', scope, int(limit), int(left)} end
  end
end

if at_once > 0 then
  redis.call('ZREMRANGEBYSCORE', P .. 'busy:' .. model, '-inf', int(at))
  if redis.call('ZCARD', P .. 'busy:' .. model) >= at_once then return {'FULL'} end
end

redis.call('HDEL', P .. 's:' .. key, 'sent', 'op', 'asset', 'error', 'units', 'allowed', 'ended')
redis.call('HSET', P .. 's:' .. key, 'state', 'intended', 'job', id, 'fence', fence, 'user', user, 'month', month,
  'provider', provider, 'model', model, 'kind', kind, 'about', about, 'at', int(at), 'estimate', int(estimate),
  'lost', int(call and call.usd or 0), 'usd', int(call and call.usd or 0))
redis.call('HINCRBY', P .. 's:' .. key, 'tries', 1)
reserve(load_call(key), 1)
redis.call('EXPIRE', P .. 's:' .. key, keep)
redis.call('SADD', P .. 'sj:' .. id, key)
if at_once > 0 then redis.call('ZADD', P .. 'busy:' .. model, int(at + hold_ms), key) end
for _, listing in ipairs({'spends', 'su:' .. user}) do
  redis.call('ZREMRANGEBYSCORE', P .. listing, '-inf', int(at - keep * 1000))
  redis.call('ZADD', P .. listing, int(at), key)
end
count('calls|' .. escaped(provider) .. '|' .. escaped(model) .. '|intended')
return {'GO'}
