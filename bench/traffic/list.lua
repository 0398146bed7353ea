-- The newest twenty keys of the organization.
local common = dofile("bench/traffic/common.lua")
local one = common.get("/api/v2/api-keys?limit=20", common.token)

function request()
  return one
end
