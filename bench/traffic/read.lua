-- One key of the organization at random, by its id.
local common = dofile("bench/traffic/common.lua")
local keys = common.keys()

function request()
  return common.with_token("GET", "/api/v2/api-keys/" .. keys[math.random(#keys)].id)
end
