-- Accept jobs: all of them or, when anything is wrong, none.
-- ARGV: task queue prio lane user parent key digest due-ms stage generation same code, then id, spec, id, spec, …
--   due-ms      0: at once; else how many milliseconds from now (the job stays PENDING until then)
--   stage       '' or a list that holds the id, spec pairs of a submission too large for one call; then all
--               that comes after `code` is how many elements it has, and the first id
--   generation  how often the parent was replayed: a step that had failed before the replay is run once more
--   code        '' or the digest of the code that the task's script shipped
--   digest      of task and arguments, by their bytes; `same` is canonical. A key that is used again must fit one of them
-- Returns the id of the job: with an idempotency key that exists already, that job's; else the first. To a flow: the
-- ids of all.
-- Errors: CONFLICT <id> when the key was used for something else, EXISTS <id>, GONE when the stage has expired, NOCODE.

local task, queue, prio, lane, user, parent, key, digest = unpack(ARGV, 1, 8)
local delay, stage, generation, same = tonumber(ARGV[9]), ARGV[10], tonumber(ARGV[11]), ARGV[12]
local at = now_ms()

local function pairs_given()
  if stage == '' then
    local given = {}
    for i = 14, #ARGV do given[#given + 1] = ARGV[i] end
    return given
  end
  local staged = redis.call('LRANGE', stage, 0, -1)
  redis.call('DEL', stage)
  if #staged ~= tonumber(ARGV[14]) then return {} end  -- a replica that took over lacked a part
  return staged
end

-- A step that had failed before its flow was replayed is run once more.
local function replay_once(step)
  if step and step.state == 'FAILED' and tonumber(redis.call('HGET', P .. 'j:' .. step.id, 'generation') or 0) < generation then
    reopen(step, at, 'its flow was replayed')
    redis.call('HSET', P .. 'j:' .. step.id, 'generation', generation)
  end
end

if key ~= '' then
  local id, known, known_same = find_keyed('j:', user, key)
  if id then
    -- A flow's own step is met again: what it was given first counts.
    local is_own_step = parent ~= '' and id == ARGV[14]
    if known ~= digest and known_same ~= same and not is_own_step then return redis.error_reply('CONFLICT ' .. id) end
    return id
  end
end

if ARGV[13] ~= '' and not keep_code(ARGV[13], delay) then return redis.error_reply('NOCODE ' .. ARGV[13]) end
local given = pairs_given()
if #given == 0 then
  if stage ~= '' and redis.call('EXISTS', P .. 'j:' .. ARGV[15]) == 1 then return ARGV[15] end  -- repeated
  return redis.error_reply('GONE')
end

-- A flow that was cancelled and taken up again has a new id, and its steps those that they had: what is done is done.
-- Returns the id under which a step is found or to be made, and the step, if it is there.
local function taken_up(id)
  local turn, found = 1, id
  while true do
    local step = load(found)
    if not step then return found, nil end
    local usable = step.state ~= 'CANCELLED'
    if step.state == 'COMPLETED' then usable = redis.call('EXISTS', P .. 'r:' .. found) == 1 end
    if step.parent == parent then
      replay_once(step)
      return found, step
    end
    if usable then
      redis.call('SREM', P .. 'k:' .. step.parent, found)
      redis.call('SADD', P .. 'k:' .. parent, found)
      redis.call('HSET', P .. 'j:' .. found, 'parent', parent)
      redis.call('PERSIST', P .. 'r:' .. found)
      if step.state == 'FAILED' then reopen(step, at, 'its flow was taken up again') end
      return found, step
    end
    turn = turn + 1
    found = id .. '_' .. turn
  end
end

-- The steps of a flow are looked for one by one: a run after the first may give some that there are and some that are
-- new. What there is counts, also where its arguments are others now.
local ids
if parent ~= '' then
  local is_own = string.sub(given[1], 1, #parent + 1) == parent .. '.'
  local missing = {}
  ids = {}
  for i = 1, #given, 2 do
    local id, step = given[i], nil
    if is_own then
      step = load(id)
      if step then replay_once(step) end
    else
      id, step = taken_up(id)
    end
    ids[#ids + 1] = id
    if not step then
      missing[#missing + 1] = id
      missing[#missing + 1] = given[i + 1]
    end
  end
  if #missing == 0 then return ids end
  given = missing
else
  local known = load(given[1])
  if known then
    -- The same id again is the same submission, repeated after a lost reply.
    if redis.call('HGET', P .. 'j:' .. known.id, 'spec') ~= given[2] then
      return redis.error_reply('EXISTS ' .. known.id)
    end
    return known.id
  end
end
local of = false
if parent ~= '' then
  local f = redis.call('HMGET', P .. 'j:' .. parent, 'state', 'of')
  if f[1] ~= 'EXECUTING' then return redis.error_reply('ORPHAN ' .. parent .. ' ' .. tostring(f[1])) end
  of = f[2]
end

local state, entry = 'QUEUED', 'PENDING QUEUED ' .. int(at) .. ' {}'
if delay > 0 then state = 'PENDING' end
local score = int(at - tonumber(prio) * AGEING_MS)
local created = int(at)
local due = int(at + delay)
local rest = {}
local function also(name, value)
  rest[#rest + 1] = name
  rest[#rest + 1] = value
end
if lane ~= queue then also('lane', lane) end
if user ~= '' then also('user', user) end
if parent ~= '' then also('parent', parent) end
if of then also('of', of) end
if key ~= '' then
  also('key', key)
  also('same', same)
end
if generation > 0 then also('generation', ARGV[11]) end
if delay > 0 then also('due', due) else also('queued', created) end

-- Refused before anything is written, where somebody wrote over one of them.
for _, name in ipairs({delay > 0 and 'due' or 'ready:' .. lane, 'in:' .. queue .. ':' .. state, 'task:' .. task}) do
  redis.call('ZCARD', P .. name)
end
local listed, ready, queued = {}, {}, {}
local function flush()
  if #listed == 0 then return end
  redis.call('ZADD', P .. 'in:' .. queue .. ':' .. state, unpack(listed))
  redis.call('ZADD', P .. 'task:' .. task, unpack(listed))
  if user ~= '' then redis.call('ZADD', P .. 'user:' .. user, unpack(listed)) end
  redis.call('ZADD', delay > 0 and P .. 'due' or P .. 'ready:' .. lane, unpack(ready))
  if delay == 0 then tell('PENDING', 'QUEUED', at, queued) end
  listed, ready, queued = {}, {}, {}
end

for i = 1, #given, 2 do
  local id = given[i]
  redis.call('HSET', P .. 'j:' .. id, 'state', state, 'queue', queue, 'task', task, 'created', created,
    'prio', prio, 'spec', given[i + 1], unpack(rest))
  if delay == 0 then redis.call('RPUSH', P .. 'h:' .. id, entry) end
  if parent ~= '' then redis.call('SADD', P .. 'k:' .. parent, id) end
  local n = #listed
  listed[n + 1], listed[n + 2] = created, id
  ready[n + 1], ready[n + 2] = delay > 0 and due or score, id
  queued[#queued + 1] = id
  if n > 2000 then flush() end
end
flush()
if key ~= '' then keep_keyed('j:', user, key, digest, given[1]) end
count('tasks|' .. queue .. '|' .. escaped(task) .. '|submitted', #given / 2)
wake(delay > 0 and 'tracker' or holder_of(lane))
return ids or given[1]
