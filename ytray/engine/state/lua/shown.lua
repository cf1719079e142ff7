-- What listings show of jobs: not their arguments, which may be a megabyte each. Reads only.
-- ARGV: ids
-- Returns for each a list of fields and values as `HGETALL j:<id>` gives them, with no more of `spec` than the metadata;
-- for a key that somebody wrote over, its error.

local SHOWN = {'state', 'queue', 'lane', 'task', 'prio', 'created', 'started', 'ended', 'due', 'progress', 'note', 'awaits',
  'error', 'retries', 'user', 'key', 'parent', 'cost'}
local HEAD = '{"metadata":'

-- Where the text that begins at a quote ends.
local function text_end(json, from)
  local at = from
  while true do
    at = string.find(json, '"', at + 1, true)
    if not at then return nil end
    local slashes = 0
    while string.byte(json, at - 1 - slashes) == 92 do slashes = slashes + 1 end
    if slashes % 2 == 0 then return at end
  end
end

-- Metadata stands first in a spec, where there is any. What cannot be read so is given whole, for people to be told.
local function without_arguments(spec)
  if string.sub(spec, 1, 8) == '{"code":' and string.sub(spec, -1) == '}' then return '{}' end
  if string.sub(spec, 1, #HEAD) ~= HEAD then return spec end
  local depth, at = 0, #HEAD + 1
  while true do
    local place = string.find(spec, '[{}"]', at)
    if not place then return spec end
    local char = string.byte(spec, place)
    if char == 34 then
      place = text_end(spec, place)
      if not place then return spec end
    else
      depth = depth + (char == 123 and 1 or -1)
      if depth == 0 then return string.sub(spec, 1, place) .. '}' end
    end
    at = place + 1
  end
end

local found = {}
for i, id in ipairs(ARGV) do
  local key = P .. 'j:' .. id
  local values = redis.pcall('HMGET', key, unpack(SHOWN))
  if values.err then
    found[i] = values
  else
    local told = {}
    for place, name in ipairs(SHOWN) do
      if values[place] then
        told[#told + 1] = name
        told[#told + 1] = values[place]
      end
    end
    local spec = redis.call('HGET', key, 'spec')
    if spec then
      told[#told + 1] = 'spec'
      told[#told + 1] = without_arguments(spec)
    end
    found[i] = told
  end
end
return found
