-- For scripts that move money or end jobs: the spend journal's entries, and on whose account they are.

-- The job, the flows above it, and the batch that it is an item of; nearest first.
local function lineage(id)
  local found = {}
  while id and #found < 8 do
    found[#found + 1] = id
    id = try(false, 'HGET', P .. 'j:' .. id, 'parent')
  end
  return found
end

-- Where the cost of a job, a flow or a batch is kept; nil when there is none of that id (any more).
local function cost_of(id)
  for _, kind in ipairs({'j:', 'b:'}) do
    if redis.call('EXISTS', P .. kind .. id) == 1 then return P .. kind .. id end
  end
end

-- An entry of the spend journal. `lost` is what earlier calls of the same key cost, `usd` that and this one's cost.
local function load_call(key)
  local f = try({}, 'HMGET', P .. 's:' .. key, 'state', 'job', 'fence', 'user', 'month', 'provider', 'model',
    'estimate', 'lost', 'usd', 'held', 'sent', 'op', 'asset', 'allowed')
  if not (f[1] and f[2] and f[3] and f[4] and f[5] and f[6] and f[7]) then return nil end
  return {
    key = key, state = f[1], job = f[2], fence = f[3], user = f[4], month = f[5], provider = f[6], model = f[7],
    estimate = tonumber(f[8]) or 0, lost = tonumber(f[9]) or 0, usd = tonumber(f[10]) or 0,
    held = tonumber(f[11]) or 0, sent = f[12], op = f[13] or '', asset = f[14] or '', allowed = f[15],
  }
end

-- Reserve the estimate of a call (sign 1) or give it back (sign -1), where it was reserved: a job that is taken up again
-- may belong to another flow or batch by now.
local function reserve(call, sign)
  local amount = sign > 0 and call.estimate or call.held
  local scopes = {'user|' .. call.user .. '|' .. call.month}
  if sign > 0 then
    for _, above in ipairs(lineage(call.job)) do scopes[#scopes + 1] = 'flow|' .. above end
    redis.call('HSET', P .. 's:' .. call.key, 'scopes', cjson.encode(scopes))
  else
    scopes = decoded(redis.call('HGET', P .. 's:' .. call.key, 'scopes') or '') or scopes
  end
  for _, scope in ipairs(scopes) do
    if try(1, 'HINCRBY', P .. 'held', scope, int(sign * amount)) == 0 then redis.call('HDEL', P .. 'held', scope) end
  end
  redis.call('HSET', P .. 's:' .. call.key, 'held', sign > 0 and int(amount) or 0)
end

-- Make `usd` what a call has cost: the difference is its user's of that month, and its job's and the flows' above it.
local function settle(call, usd)
  if call.held > 0 then reserve(call, -1) end
  local more = usd - call.usd
  if more ~= 0 then
    try(0, 'HINCRBY', P .. 'spent', 'user|' .. call.user .. '|' .. call.month, int(more))
    for _, above in ipairs(lineage(call.job)) do
      local place = cost_of(above)
      if place then try(0, 'HINCRBY', place, 'cost', int(more)) end
    end
    -- A counter may not fall: what an uncertain call turns out not to have cost stays in it.
    if more > 0 then count('cost|' .. escaped(call.provider) .. '|' .. escaped(call.model), int(more)) end
  end
  redis.call('HSET', P .. 's:' .. call.key, 'usd', int(usd))
  redis.call('ZREM', P .. 'busy:' .. call.model, call.key)
  call.held, call.usd = 0, usd
end

-- A job ends while calls of it may run: nobody will hear how they end, so their estimates count as spent. Operations
-- that the provider has named stay as they are for a job that `may_go_on`: its replay, or another job, asks for them.
local function disown(id, how, may_go_on)
  for _, key in ipairs(try({}, 'SMEMBERS', P .. 'sj:' .. id)) do
    local call = load_call(key)
    local open = call and call.job == id and (call.state == 'intended' or call.state == 'started')
    if open and not (may_go_on and call.op ~= '') then
      local ran = call.sent or call.op ~= ''
      settle(call, call.lost + (ran and call.estimate or 0))
      redis.call('HSET', P .. 's:' .. key, 'state', ran and 'uncertain' or 'failed', 'error',
        'its job ' .. how .. ' ' .. (ran and 'while the call ran' or 'before the call was made'))
      count('calls|' .. escaped(call.provider) .. '|' .. escaped(call.model) .. '|' .. (ran and 'uncertain' or 'failed'))
    end
  end
  return tonumber(try(false, 'HGET', P .. 'j:' .. id, 'cost')) or 0
end
