-- A creation with another name in every request.
local common = dofile("bench/traffic/common.lua")
local post = common.post("/api/v2/api-keys", common.token)

function request()
  return post('{"name":"Order service ' .. math.random(100000, 999999) .. '"}')
end
