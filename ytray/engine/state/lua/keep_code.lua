-- The code of jobs and batches that a script defined is needed for longer: it expires a month from now at the earliest.
-- ARGV: names of hashes: j:<id> or b:<id>; or "code:<digest>" itself
-- Returns how many there were whose code is not stored any more.

local lost = 0
for _, name in ipairs(ARGV) do
  local digest = string.match(name, '^code:(%x+)$')
  if not digest then
    local field = string.sub(name, 1, 2) == 'b:' and 'head' or 'spec'
    digest = string.match(redis.call('HGET', P .. name, field) or '', '^{"code":"value:(%x+)"')
  end
  if digest and not keep_code(digest, 0) then lost = lost + 1 end
end
return lost
