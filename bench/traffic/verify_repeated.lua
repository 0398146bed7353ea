-- One request again and again: the best case of every cache.
local common = dofile("bench/traffic/common.lua")
local one = common.post("/api/v2/api-keys/verify", common.credential)(common.question(common.keys()[1], 7))

function request()
  return one
end
