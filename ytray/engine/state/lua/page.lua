-- The next jobs of some listings, newest first, after a place in them. Reads only.
-- ARGV: limit score member, then names of listings (in:…, task:…, user:…)
--   score, member   the last job seen (created-ms, id); '' starts at the newest
-- Returns one list a listing: id, score, id, score, …
-- A bulk submission gives thousands of jobs the same millisecond, so the place is found by id among them; by halving,
-- since the job that was seen last may have left this listing.

local limit, score, member = tonumber(ARGV[1]), ARGV[2], ARGV[3]

-- Redis orders by bytes; Lua's own comparison would follow the machine's locale.
local function sorts_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function place_in(listing)
  if member == '' then return 0 end
  local low = try(0, 'ZCOUNT', listing, '(' .. score, '+inf')
  local high = low + try(0, 'ZCOUNT', listing, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sorts_before(redis.call('ZREVRANGE', listing, middle, middle)[1], member) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local pages = {}
for i = 4, #ARGV do
  local listing = P .. ARGV[i]
  local place = place_in(listing)
  pages[#pages + 1] = try({}, 'ZREVRANGE', listing, place, place + limit - 1, 'WITHSCORES')
end
return pages
