-- As verify.lua, but every key once, in random order, until there are no more. With BENCH_SLICES, the keys of one of so
-- many slices, which BENCH_SEED decides, so that each round sees keys that nobody has ever shown.
local common = dofile("bench/traffic/common.lua")
local slices = tonumber(os.getenv("BENCH_SLICES") or "1")
local keys = common.keys(slices, tonumber(os.getenv("BENCH_SEED") or "1") % slices)
local post = common.post("/api/v2/api-keys/verify", common.credential)
local host, place = common.host(), 0

for i = #keys, 2, -1 do
  local j = math.random(i)
  keys[i], keys[j] = keys[j], keys[i]
end

function request()
  place = place + 1
  if place >= #keys then common.finish() end
  return post(common.question(keys[math.min(place, #keys)], host()))
end
