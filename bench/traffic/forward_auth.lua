-- What a proxy asks about its clients: another key, address, request id and URI in every request.
local common = dofile("bench/traffic/common.lua")
local pick = common.picker()

function request()
  local uri = "/orders/" .. math.random(1000000) .. "?page=" .. math.random(100)
  return common.proxied(pick(), math.random(254), uri, math.random(100000000, 999999999))
end
