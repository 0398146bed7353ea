-- One key of the organization at random, by its id.
local common = dofile("bench/traffic/common.lua")
local keys = common.keys()

function request()
  return common.get("/api/v2/api-keys/" .. keys[math.random(#keys)].id, common.token)
end
