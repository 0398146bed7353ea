-- As verify.lua, but every key once, in random order, until there are no more.
local common = dofile("bench/traffic/common.lua")
local keys = common.keys()
local post = common.post("/api/v2/api-keys/verify", common.credential)
local place = 0

for i = #keys, 2, -1 do
  local j = math.random(i)
  keys[i], keys[j] = keys[j], keys[i]
end

function request()
  place = place + 1
  if place >= #keys then common.finish() end
  return post(common.question(keys[math.min(place, #keys)], 7))
end
