-- What a proxy asks about its clients: another key, address, request id and URI in every request.
local common = dofile("bench/traffic/common.lua")
local keys = common.keys()
local head = "GET /forward-auth HTTP/1.1\r\nHost: bench\r\nX-Forwarded-Method: GET\r\nX-Keywright-Verifier: "
  .. common.credential .. "\r\nAuthorization: Bearer "

function request()
  local key = keys[math.random(#keys)]
  return head .. key.text .. "\r\nX-Forwarded-For: " .. common.address(key, math.random(254))
    .. "\r\nX-Forwarded-Uri: /orders/" .. math.random(1000000) .. "?page=" .. math.random(100)
    .. "\r\nX-Request-Id: bench-" .. math.random(100000000, 999999999) .. "\r\n\r\n"
end
