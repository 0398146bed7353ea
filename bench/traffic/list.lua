-- The newest twenty keys of the organization.
local common = dofile("bench/traffic/common.lua")
local one = common.with_token("GET", "/api/v2/api-keys?limit=20")

function request()
  return one
end
