-- A creation with all that a key can have, other values in every request.
local common = dofile("bench/traffic/common.lua")
local post = common.post("/api/v2/api-keys", common.token)

function request()
  local number = math.random(100000, 999999)
  return post('{"name":"Order service ' .. number .. '","description":"For the nightly export ' .. number
    .. '","expires_at":"2099-01-01T00:00:00Z","scopes":["reports:read","orders:write"],"allowed_ips":["192.0.2.0/24"],'
    .. '"rate_limits":[{"name":"minute","limit":1000,"window_seconds":60}],"external_id":"customer-' .. number
    .. '","metadata":{"team":"billing","ticket":' .. number .. "}}")
end
