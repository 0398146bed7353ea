-- One question of a proxy again and again: the best case of every cache.
local common = dofile("bench/traffic/common.lua")
local key = common.keys()[1]
local one = "GET /forward-auth HTTP/1.1\r\nHost: bench\r\nX-Forwarded-Method: GET\r\nX-Keywright-Verifier: "
  .. common.credential .. "\r\nAuthorization: Bearer " .. key.text .. "\r\nX-Forwarded-For: "
  .. common.address(key, 7) .. "\r\nX-Forwarded-Uri: /orders\r\nX-Request-Id: bench-1\r\n\r\n"

function request()
  return one
end
